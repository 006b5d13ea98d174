"""Dead letters on a terminal."""

import json
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.dead_letters import Audited, DeadLetter, LetterGroups, LetterSummary, ReplayPreview
from schemas.jobs.dead_letters_replay import LettersReplayed
from schemas.resources import Job


def letters(found: Sequence[LetterSummary]) -> Table:
    table = _table("ID", "DIED", "STATE", "REASON", "KIND", "GROUP", "ERROR")
    for letter in found:
        state = f"{letter.state}, edited" if letter.edited else letter.state
        kind, group = letter.kind or "-", letter.fingerprint or "-"
        table.add_row(letter.id, _when(letter.died_at), state, letter.reason, kind, group, _error(letter))
    return table


def show_groups(found: LetterGroups, console: Console) -> None:
    table = _table("GROUP", "COUNT", "NEW", "FIRST SEEN", "LAST SEEN", "KIND", "ERROR")
    for group in found.items:
        kinds = ", ".join(group.kinds) or "-"
        seen = (_when(group.first_seen), _when(group.last_seen))
        error = _line(f"{group.error_type}: {group.error_detail}")
        table.add_row(group.fingerprint, f"{group.count:,}", f"{group.new:,}", *seen, kinds, error)
    console.print(table)
    if found.version is not None:
        new = sum(group.new for group in found.items)
        console.print(f"{new:,} new since version {found.version}", markup=False)


def show_letter(letter: DeadLetter, console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    settled = f"{letter.state} by {letter.settled_by}, {_when(letter.settled_at)}" if letter.settled_at else "open"
    rows = {
        "Letter": letter.id,
        "State": f"{settled}: {letter.discard_reason}" if letter.discard_reason else settled,
        "Reason": letter.reason,
        "Queue": letter.queue,
        "Job": f"{letter.job_id}, attempt {letter.attempt}, generation {letter.generation}" if letter.job_id else "-",
        "Died": f"{_when(letter.died_at)} on {letter.host} ({letter.worker}), version {letter.code_version or '-'}",
        "Group": letter.fingerprint,
        "Error": f"{letter.error_type}: {letter.error_detail}",
        "Replay": letter.links.replay or "-",
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console.print(table)
    if letter.attempts:
        console.print("\n[bold]Attempts before the last[/]")
        console.print(_attempts(letter))
    console.print("\n[bold]Traceback[/]")
    console.print(letter.traceback.rstrip() or "-", markup=False)
    console.print(
        f"\n[bold]Body[/] ({letter.body_encoding})" if letter.body_encoding != "utf-8" else "\n[bold]Body[/]"
    )
    console.print(_indented(letter.body), markup=False)
    if letter.edit is not None:
        console.print(f"\n[bold]Edited[/] by {letter.edit.edited_by}, {_when(letter.edit.edited_at)}")
        console.print(json.dumps(letter.edit.params, indent=2, ensure_ascii=False), markup=False)


def show_preview(preview: ReplayPreview, console: Console) -> None:
    console.print(f"{counted(preview.count, 'open letter')} in {counted(len(preview.groups.items), 'group')}")
    if preview.count:
        show_groups(preview.groups, console)


def show_replay(job: Job, console: Console) -> None:
    if job.result is None:
        error = f": {job.error.title}: {job.error.detail}" if job.error else ""
        console.print(f"replay {job.id} is {job.status}{error}", markup=False)
        return
    found = LettersReplayed.model_validate(job.result)
    console.print(f"{found.replayed:,} of {counted(found.selected, 'letter')} replayed by {job.id}", markup=False)
    if found.stopped_by_canary:
        console.print(f"[bold red]stopped by its canaries[/]: {counted(found.left, 'letter')} not replayed")
    for failure in found.evidence:
        console.print(f"  {failure.why}  job {failure.job_id}  {_line(failure.detail)}", markup=False)
    for stuck in found.stuck:
        console.print(f"  stuck  letter {stuck.letter}  {_line(stuck.detail)}", markup=False)


def audit(found: Sequence[Audited]) -> Table:
    table = _table("WHEN", "WHO", "WHAT", "TARGET", "DETAIL")
    for entry in found:
        detail = {name: value for name, value in entry.detail.items() if name != "diff" and value not in ([], None)}
        table.add_row(_when(entry.at), entry.actor, entry.action, entry.target, Text(json.dumps(detail)))
    return table


def counted(number: int, of: str) -> str:
    return f"{number:,} {of}" if number == 1 else f"{number:,} {of}s"


def _attempts(letter: DeadLetter) -> Table:
    table = _table("ATTEMPT", "FAILED", "WORKER", "GROUP", "ERROR")
    for attempt in letter.attempts:
        error = _line(f"{attempt.error_type}: {attempt.error_detail}")
        table.add_row(str(attempt.attempt), attempt.failed_at[:19], attempt.worker, attempt.fingerprint, error)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        last = column == columns[-1]
        table.add_column(column, no_wrap=not last, overflow="fold", justify="right" if column == "COUNT" else "left")
    return table


def _error(letter: LetterSummary) -> Text:
    return _line(f"{letter.error_type}: {letter.error_detail}")


def _line(text: str) -> Text:
    """What others wrote is no markup, and has one line here."""
    return Text(" ".join(text.split())[:160])


def _indented(body: str | None) -> str:
    if body is None:
        return "its bytes are gone from the blob store"
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


def _when(time: datetime | None) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else "-"
