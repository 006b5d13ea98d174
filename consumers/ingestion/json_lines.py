"""JSON Lines: an object a line."""

import json

from consumers.ingestion.conversion import Unreadable
from consumers.ingestion.duck import Share, part
from consumers.ingestion.encodings import scan
from consumers.ingestion.lines import Line, lines
from consumers.ingestion.staging import Staging
from consumers.ingestion.table import write
from consumers.ingestion.work import Read, Work
from schemas.datasets import FileFormat, Reading


def read(work: Work, share: Share) -> Read:
    encoding = scan(work.path, work.hints.encoding, part(share, 0, 0.1)).encoding
    staging = Staging(work.parquet.parent, work.limits)
    for line in lines(work.path, encoding, part(share, 0.1, 0.7)):
        if reason := line.fault or _staged(line, staging):
            work.rejects.add(line.number, reason, line.text)
    if not staging.rows:
        raise Unreadable(f"The file has no line with a JSON object ({work.rejects.first or 'it is blank'}).")
    relation, renamed = staging.relation()
    reading = Reading(format=FileFormat.JSON_LINES, encoding=encoding, renamed=renamed)
    return write(work.duck, relation, work.parquet, part(share, 0.7, 1)), reading


def _staged(line: Line, staging: Staging) -> str | None:
    """Why it was not."""
    if not (text := line.text.strip()):
        return None
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            return f"the line is {kind_of(value)} instead of an object"
        staging.add(value)
    except json.JSONDecodeError as error:
        return f"no JSON at column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        return f"a value that cannot be kept: {error}"
    return None


def kind_of(value: object) -> str:
    names = {list: "an array", dict: "an object", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
