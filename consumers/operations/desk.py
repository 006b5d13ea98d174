"""What the handlers of this pool share."""

from dataclasses import dataclass

from producers.outbox import Outbox
from storage.database import Database
from storage.dead_letters import LetterStore


@dataclass(frozen=True)
class Desk:
    database: Database
    letters: LetterStore
    outbox: Outbox
    worker: str
