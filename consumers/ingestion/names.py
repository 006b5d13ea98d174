"""Names of columns: unique, also to readers that ignore case, and never empty."""

from collections.abc import Sequence


def kept(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The names that the columns get, and the old names of those that had to change, by the new ones.
    Names that can stay do: of `a`, `a`, `a_2` the second becomes `a_3`."""
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    found: list[str] = []
    for number, name in enumerate(names, 1):
        wanted = name.strip() or f"column_{number}"
        repeated = wanted.casefold() in seen or (wanted != name and wanted.casefold() in taken)
        new = _free(wanted, taken | seen) if repeated else wanted
        seen.add(new.casefold())
        found.append(new)
    return found, {new: old for new, old in zip(found, names, strict=True) if new != old}


def _free(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}_{number}".casefold() in taken:
        number += 1
    return f"{name}_{number}"
