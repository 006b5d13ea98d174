"""Small drawings as inline SVG. No style attributes: the page's policy does not allow any."""

from collections.abc import Sequence

from reports.figures import of
from reports.html import Html, el
from schemas.profile import Bin, ColumnProfile

HEIGHT = 24
BARS = 32


def bar(share: float, class_: str = "bar") -> Html:
    """A bar of `share`, from 0 to 1."""
    wide = f"{min(max(share, 0), 1) * 100:.4g}"
    line = el("rect", width=wide, height=1)
    return el("svg", line, class_=class_, viewBox="0 0 100 1", preserveAspectRatio="none", aria_hidden="true")


def spark(column: ColumnProfile) -> Html:
    """The distribution at a glance: a histogram, or the most frequent values as bars with gaps."""
    histogram = _histogram(column)
    if len(histogram) > 1:
        return _drawing(_steps(folded([each.count for each in histogram], BARS)), "spark")
    ranks = [each.count for each in (histogram or column.top[:12])]
    alike = column.unique and column.count > 1
    return _drawing(_gapped(ranks), "spark ranks") if ranks and not alike else Html("")


def folded(counts: Sequence[int], most: int) -> list[int]:
    """Neighbours added up until there are at most so many."""
    step = -(-len(counts) // most) or 1
    return [sum(counts[at : at + step]) for at in range(0, len(counts), step)]


def _histogram(column: ColumnProfile) -> list[Bin]:
    if column.numbers:
        return column.numbers.histogram
    if column.times:
        return column.times.histogram
    informative = not column.unique and column.top and column.top[0].count > 1
    return column.text.lengths if column.text and not informative else []


def _heights(counts: Sequence[int]) -> list[int]:
    """What is not empty is seen."""
    most = max(counts, default=0)
    return [max(1, round(of(each, most) * HEIGHT)) if each else 0 for each in counts]


def _steps(counts: Sequence[int]) -> tuple[str, int]:
    return "M0 24" + "".join(f"V{HEIGHT - high}h1" for high in _heights(counts)) + "V24z", len(counts)


def _gapped(counts: Sequence[int]) -> tuple[str, int]:
    bars = (f"M{at * 4} 24v-{high}h3v{high}z" for at, high in enumerate(_heights(counts)) if high)
    return "".join(bars), max(len(counts), 8) * 4 - 1


def _drawing(path_and_width: tuple[str, int], class_: str) -> Html:
    path, width = path_and_width
    box = f"0 0 {width} {HEIGHT}"
    return el("svg", el("path", d=path), class_=class_, viewBox=box, preserveAspectRatio="none", aria_hidden="true")
