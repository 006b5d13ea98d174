"""In which order a replay goes through its letters: canaries first, then one window of time after the other."""

from dataclasses import dataclass

from messaging import names
from storage.dead_letters import Outline
from storage.letter_selection import Window, Windows


@dataclass(frozen=True)
class Plan:
    count: int
    groups: int
    canaries: list[str]
    """Ids of letters: the oldest of each group, then the oldest of the rest."""
    windows: list[Window]


class Planner:
    """Takes the selected letters, oldest death first, and keeps no more of them than the plan needs."""

    def __init__(self, window_size: int, canaries: int) -> None:
        self._canaries = canaries
        self._windows = Windows(window_size)
        self._count = 0
        self._groups: set[str] = set()
        self._firsts: dict[str, str] = {}
        self._others: list[str] = []

    def add(self, letter: Outline) -> None:
        self._count += 1
        self._windows.add(letter.died_at)
        # The ledger's letters, and what is no command: no job shows how they fare.
        if letter.kind is not None and letter.queue == names.work_queue(letter.kind):
            self._note_canary(letter)
        self._groups.add(letter.fingerprint)

    def plan(self) -> Plan:
        canaries = [*self._firsts.values(), *self._others][: self._canaries]
        return Plan(self._count, len(self._groups), canaries, self._windows.all())

    def _note_canary(self, letter: Outline) -> None:
        if letter.fingerprint not in self._firsts:
            self._firsts[letter.fingerprint] = letter.id
        elif len(self._others) < self._canaries:
            self._others.append(letter.id)
