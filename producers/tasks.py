"""What a task must be before it is kept, and what it is known by."""

from hashlib import sha256
from uuid import NAMESPACE_URL, uuid5

from producers.lint import LintSettings, defined, lint
from producers.shapes import Fitting
from schemas.code import Severity
from schemas.problems import InvalidField
from schemas.tasks import TaskContent

_DEFINE = {"function": ("run", "run_batch"), "tokenizer": ("load_tokenizer",), "model": ("load_model",)}


def task_id_of(principal: str, name: str) -> str:
    """A name means one task per owner, like a dataset's."""
    return uuid5(NAMESPACE_URL, f"urn:millrace:task:{principal}\n{name}").hex


def version_of(content: TaskContent) -> str:
    """The same content is the same version."""
    return sha256(content.model_dump_json().encode()).hexdigest()[:12]


def faults(content: TaskContent, settings: LintSettings) -> list[InvalidField]:
    """All that can be told without running it, by JSON Pointer into the content."""
    found = [*_code_faults(content, settings)]
    for part, schema in (("input", content.input_schema), ("output", content.output_schema)):
        misfits = Fitting(schema).misfits(getattr(content.example, part))
        found += [InvalidField(pointer=f"/example/{part}{at}", detail=why) for at, why in misfits]
    if content.model is None:
        needless = [part for part in ("tokenizer", "model") if getattr(content.code, part) is not None]
        found += [InvalidField(pointer=f"/code/{part}", detail="there is no `model` to load") for part in needless]
    return found


def _code_faults(content: TaskContent, settings: LintSettings) -> list[InvalidField]:
    found = []
    for part, wanted in _DEFINE.items():
        code = getattr(content.code, part)
        if code is None:
            continue
        errors = [each for each in lint(code, content.packages, settings) if each.severity is Severity.ERROR]
        said = [f"{each.place}{each.message}" for each in errors]
        if not errors and not defined(code) & set(wanted):
            said = [f"defines no function {' or '.join(wanted)}"]
        found += [InvalidField(pointer=f"/code/{part}", detail=detail) for detail in said]
    return found
