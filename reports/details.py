"""What the script draws from, as compact JSON: drill-downs and matrices."""

import math
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from reports.figures import plain, shown
from schemas.profile import Bin, ColumnProfile, Correlations, DatasetProfile, ValueCount

# Measured: 10,000 columns in full are 30 MB. Beyond so many columns each is drawn from less.
MANY = 1000
# More columns than these cannot be told apart in a heatmap; 250 cost 80 kB a matrix.
MATRIX = 250
_NULL = -128


def data(profile: DatasetProfile) -> JsonValue:
    indices = {column.name: index for index, column in enumerate(profile.columns)}
    lean = len(profile.columns) > MANY
    alerts: dict[int, list[JsonValue]] = {}
    for at, alert in enumerate(profile.alerts):
        for name in dict.fromkeys(alert.columns):
            if name in indices:
                alerts.setdefault(indices[name], []).append(at)
    columns: list[JsonValue] = []
    for index, column in enumerate(profile.columns):
        columns.append(_column(column, lean) | {"alerts": alerts.get(index, []), "first": _first(profile, column)})
    return {
        "rows": profile.rows,
        "columns": columns,
        "correlations": [_matrix(each, indices) for each in profile.correlations if each.rows and each.columns],
    }


def strongest(found: Correlations) -> tuple[list[int], list[int]]:
    """Which rows and columns of a large matrix to keep: those with the strongest values, in their order."""
    symmetric = found.rows == found.columns
    across = [
        [0.0 if symmetric and i == j else _size(value) for j, value in enumerate(values)]
        for i, values in enumerate(found.values)
    ]
    down = across if symmetric else [list(column) for column in zip(*across, strict=True)]
    return _most(across), _most(down)


def _most(strengths: list[list[float]]) -> list[int]:
    ranked = sorted(range(len(strengths)), key=lambda at: -max(strengths[at], default=0))
    return sorted(ranked[:MATRIX])


def _size(value: float | None) -> float:
    return abs(value) if value is not None and math.isfinite(value) else 0.0


def _matrix(found: Correlations, indices: dict[str, int]) -> JsonValue:
    """Values in hundredths, a signed byte each: two decimals are what a heatmap can show."""
    rows, columns = strongest(found)
    packed = bytes(_hundredths(found.values[i][j]) & 0xFF for i in rows for j in columns)
    return {
        "method": found.method.value,
        "rows": [indices.get(found.rows[i], -1) for i in rows],
        "columns": [indices.get(found.columns[j], -1) for j in columns],
        "values": b64encode(packed).decode(),
        "total": max(len(found.rows), len(found.columns)),
    }


def _hundredths(value: float | None) -> int:
    """Never a perfect correlation of what is not."""
    if value is None or not math.isfinite(value):
        return _NULL
    hundredths = round(max(-1, min(1, value)) * 100)
    perfect = abs(value) >= 1 - 1e-9
    return hundredths if perfect or abs(hundredths) < 100 else int(math.copysign(99, hundredths))


def _column(column: ColumnProfile, lean: bool) -> dict[str, JsonValue]:
    kept = column.model_dump(mode="json", exclude_none=True, exclude={"top", "numbers", "times", "text"})
    kept |= {"name": shown(column.name, 200), "top": _values(column.top[: 8 if lean else 20], plain(column))}
    for part in ("numbers", "times"):
        found = getattr(column, part)
        if found is not None:
            drawn = _bins("histogram", found.histogram, lean)
            kept[part] = found.model_dump(mode="json", exclude={"histogram"}) | drawn
    if column.text is not None:
        text = column.text.model_dump(mode="json", exclude={"lengths", "patterns"})
        patterns = {"patterns": _values(column.text.patterns[: 4 if lean else 10], plain=False)}
        kept["text"] = text | patterns | _bins("lengths", column.text.lengths, lean)
    return _tidy(kept)  # type: ignore[no-any-return]  # a dict of JSON goes in and comes out


def _first(profile: DatasetProfile, column: ColumnProfile) -> JsonValue:
    values = [row.get(column.name) for row in profile.sample[:5]]
    return [None if value is None else shown(value, 60, plain=plain(column)) for value in values]


def _values(found: Sequence[ValueCount], plain: bool) -> JsonValue:
    return [[shown(each.value, plain=plain), each.count] for each in found]


def _bins(name: str, bins: list[Bin], lean: bool) -> dict[str, JsonValue]:
    """Neighbours share their edge, and equal widths need no edges."""
    step = -(-len(bins) // 20) if lean and len(bins) > 20 else 1
    groups = [bins[at : at + step] for at in range(0, len(bins), step)]
    edges: list[JsonValue] = [group[0].low for group in groups]
    if bins:
        edges.append(bins[-1].high)
    counts: list[JsonValue] = [sum(each.count for each in group) for group in groups]
    if len(bins) > 1 and step == 1 and _even(bins):
        edges = [bins[0].low, bins[-1].high]
    return {name: {"edges": edges, "counts": counts}}


def _even(bins: list[Bin]) -> bool:
    width = (bins[-1].high - bins[0].low) / len(bins)
    return all(abs(each.high - each.low - width) <= width * 1e-6 for each in bins)


def _tidy(value: Any) -> Any:
    """No figure longer than a person reads, and none that JSON or a browser cannot hold."""
    if isinstance(value, dict):
        return {key: _tidy(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_tidy(each) for each in value]
    if isinstance(value, float):
        return _short(value) if math.isfinite(value) else None
    return value


def _short(value: float) -> float | int:
    brief = float(f"{value:.12g}")
    return int(brief) if brief.is_integer() and abs(brief) < 1e15 else brief
