"""Who jobs are on the host: a number each, that nothing belongs to, so that no two share what is counted per user."""

from pathlib import Path

_FAVOURITE = 1_900_000_000  # in a range that is nobody's by the conventions of systemd, containers and NFS
_MOST = 65_536


class Identities:
    """Each is taken by one job at a time and not again before all others have been. Where this user may be nobody but
    itself, that is the only one, and any number of jobs share it."""

    def __init__(self, shared: bool) -> None:
        first, count = (0, 1) if shared else _range()
        self.single = count == 1
        self.zygote = first
        self._first, self._count, self._next = first, count - 1, 0
        self._taken: set[int] = set()

    def take(self) -> int:
        if self.single:
            return self._first
        for _ in range(self._count):
            self._next = self._next % self._count + 1
            if (identity := self._first + self._next) not in self._taken:
                self._taken.add(identity)
                return identity
        raise RuntimeError(f"{self._count} jobs are running, and there is no identity for one more")

    def give_back(self, identity: int) -> None:
        self._taken.discard(identity)


def _range() -> tuple[int, int]:
    """The favourite one, or the upper end of what this user namespace has, below 65,534, which is nobody."""
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    spans = [(int(line.split()[0]), int(line.split()[2])) for line in lines]
    for first, count in spans:
        if first <= _FAVOURITE and first + count >= _FAVOURITE + _MOST:
            return _FAVOURITE, _MOST
    first, count = max(spans, key=lambda span: span[1])
    end = min(first + count, 65_000)
    return (end - 4_096, 4_096) if end - 4_096 > first else (0, 1)
