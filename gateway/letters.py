"""Dead letters as resources, and the edit of one."""

import base64
import difflib
import json
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue, ValidationError
from pydantic_core import from_json

from gateway.problems import ProblemError, invalid_parameters
from messaging import names
from producers.replays import original_body, original_content
from schemas.contract import Contract
from schemas.dead_letters import (
    DeadLetter,
    FailedAttempt,
    LetterEditView,
    LetterGroup,
    LetterGroups,
    LetterStatus,
    LetterSummary,
)
from schemas.kinds import AnyKind, kinds
from storage.blobs import BlobMissing, BlobStore
from storage.dead_letters import Group
from storage.documents import Letter, LetterEdit, LetterState


def summary(letter: Letter) -> LetterSummary:
    return LetterSummary.model_validate(_common(letter))


async def resource(letter: Letter, blobs: BlobStore) -> DeadLetter:
    """Raises BlobUnavailable."""
    body, encoding = await _shown_body(letter, blobs)
    found = {
        **_common(letter),
        "routing_key": letter.routing_key,
        "stored_at": letter.stored_at,
        "traceback": letter.traceback,
        "attempts": [FailedAttempt.model_validate(attempt) for attempt in letter.attempts],
        "headers": letter.headers,
        "body": body,
        "body_encoding": encoding,
        "edit": _edit_view(letter.edit) if letter.edit else None,
    }
    return DeadLetter.model_validate(found)


def groups(found: list[Group], version: str | None) -> LetterGroups:
    return LetterGroups(version=version, items=[LetterGroup.model_validate(vars(group)) for group in found])


async def edited(
    letter: Letter, params: dict[str, JsonValue], by: str, blobs: BlobStore
) -> tuple[Letter, LetterEdit, str]:
    """The letter as it would be, its edit, and how that differs from the original.

    Raises ProblemError, BlobUnavailable."""
    if letter.state is not LetterState.OPEN:
        raise settled(letter)
    contract = _kind_of(letter).command
    try:
        command: Contract = contract.model_validate(params)
    except ValidationError as error:
        raise invalid_parameters(error, "/params") from None
    body = command.model_dump_json().encode()
    edit = LetterEdit(body=body, dataschema=contract.dataschema, edited_at=datetime.now(UTC), edited_by=by)
    changed = letter.model_copy(update={"edit": edit, "revision": letter.revision + 1})
    return changed, edit, difference(await _content(letter, blobs), body)


def difference(before: bytes, after: bytes) -> str:
    """A unified diff of the JSON in both, indented; of the text where one is no JSON."""
    return "".join(difflib.unified_diff(_lines(before), _lines(after), fromfile="original", tofile="edited"))


def settled(letter: Letter) -> ProblemError:
    return ProblemError("letter-settled", f"{letter.id} was {letter.state} by {letter.settled_by}")


def _kind_of(letter: Letter) -> AnyKind:
    kind = kinds().get(letter.kind or "")
    if kind is None or letter.queue != names.work_queue(kind.name):
        raise ProblemError(
            "letter-not-editable", f"{letter.id} comes from {letter.queue!r} and is no command we know"
        )
    return kind


async def _content(letter: Letter, blobs: BlobStore) -> bytes:
    try:
        return await original_content(blobs, letter)
    except BlobMissing:  # an edit is how a letter with lost bytes is mended
        return b""


def _lines(content: bytes) -> list[str]:
    try:
        text = json.dumps(from_json(content), indent=2, ensure_ascii=False)
    except ValueError:
        text = content.decode("utf-8", "replace")
    return [line + "\n" for line in text.splitlines()]


async def _shown_body(letter: Letter, blobs: BlobStore) -> tuple[str | None, str]:
    try:
        body = await original_body(blobs, letter)
    except BlobMissing:
        return None, "utf-8"
    try:
        return body.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


def _edit_view(edit: LetterEdit) -> LetterEditView:
    return LetterEditView(params=from_json(edit.body), edited_at=edit.edited_at, edited_by=edit.edited_by)


def _common(letter: Letter) -> dict[str, Any]:
    names_in_common = (
        *("id", "reason", "queue", "kind", "job_id", "generation", "attempt", "fingerprint", "error_type"),
        *("error_detail", "died_at", "host", "worker", "code_version", "revision"),
        *("settled_at", "settled_by", "discard_reason"),
    )
    links = {
        "self": f"/v1/dead-letters/{letter.id}",
        "job": letter.job_id and f"/v1/jobs/{letter.job_id}",
        "replay": letter.replay and f"/v1/jobs/{letter.replay}",
    }
    fields = {name: getattr(letter, name) for name in names_in_common}
    return {**fields, "state": LetterStatus(letter.state), "edited": letter.edit is not None, "links": links}
