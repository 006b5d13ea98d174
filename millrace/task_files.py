"""A task as a folder: `task.json` and `function.py`, with `tokenizer.py` and `model.py` where there are."""

import json
from pathlib import Path

from pydantic import ValidationError

from millrace.stack.errors import StackError
from schemas.tasks import Task, TaskDraft

EXAMPLES = Path(__file__).parent / "examples"
_PARTS = ("function", "tokenizer", "model")


def read(folder: Path) -> TaskDraft:
    """Raises StackError."""
    try:
        about = json.loads((folder / "task.json").read_text())
        code = {part: file.read_text() for part in _PARTS if (file := folder / f"{part}.py").is_file()}
        return TaskDraft.model_validate({"name": folder.resolve().name, **about, "code": code})
    except (OSError, TypeError, ValueError) as error:
        what = "; ".join(_told(error)) if isinstance(error, ValidationError) else str(error)
        raise StackError(f"{folder} is no task: {what}") from None


def write(task: Task, folder: Path) -> None:
    """Raises StackError for a folder that is not empty."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise StackError(f"{folder} is not empty")
    content = task.version.content
    about = content.model_dump(mode="json", exclude={"code"})
    about = {name: getattr(task, name) for name in ("name", "description", "tags", "visibility")} | about
    (folder / "task.json").write_text(json.dumps(about, indent=2) + "\n")
    for part in _PARTS:
        if (code := getattr(content.code, part)) is not None:
            (folder / f"{part}.py").write_text(code)


def examples() -> list[TaskDraft]:
    """Those that Millrace brings along."""
    return [read(folder) for folder in sorted(EXAMPLES.iterdir()) if (folder / "task.json").is_file()]


def _told(error: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:5]]
