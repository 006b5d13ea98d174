"""What people decided about models, applied again after their versions came back: it stands in the audit."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from storage import audit, models
from storage.database import Database
from storage.documents import AuditEntry


@dataclass
class Decided:
    """How the decisions about one model stand."""

    aliases: dict[str, str] = field(default_factory=dict)
    archived: dict[str, datetime] = field(default_factory=dict)
    deleted: dict[str, datetime] = field(default_factory=dict)
    forgotten_at: datetime | None = None
    """When the model was deleted as a whole, which decides about everything that was made before."""


def decided(entries: Iterable[AuditEntry]) -> dict[str, Decided]:
    """By model. `entries` oldest first."""
    found: dict[str, Decided] = {}
    for entry in entries:
        state, detail = found.setdefault(entry.target, Decided()), entry.detail
        match entry.action:
            case audit.ALIAS_MOVED if detail["version"] is None:
                state.aliases.pop(detail["alias"], None)
            case audit.ALIAS_MOVED:
                state.aliases[detail["alias"]] = detail["version"]
            case audit.ARCHIVED:
                state.archived[detail["version"]] = entry.at
            case audit.UNARCHIVED:
                state.archived.pop(detail["version"], None)
            case audit.VERSION_DELETED:
                state.deleted[detail["version"]] = entry.at
                state.aliases = {a: v for a, v in state.aliases.items() if v != detail["version"]}
            case audit.MODEL_DELETED:
                found[entry.target] = Decided(forgotten_at=entry.at)
    return found


async def decide_again(database: Database) -> None:
    """Changes nothing where nothing was lost. Raises StoreUnavailable."""
    for model_id, state in decided(await audit.decisions(database)).items():
        if state.forgotten_at is not None:
            await models.forget_until(database, model_id, state.forgotten_at)
        for version, at in state.deleted.items():
            await models.delete_version(database, model_id, version, at)
        for version, at in state.archived.items():
            await models.archive(database, model_id, version, at)
        for alias, version in state.aliases.items():
            await models.move_alias(database, model_id, alias, None, version)
