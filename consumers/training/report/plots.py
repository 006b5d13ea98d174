"""Drawings of a card as inline SVG: no script is needed to see them, and none to print them."""

from collections.abc import Sequence

from reports.figures import count, number
from reports.html import Html, el, join
from schemas.model_card import Calibration, Confusion, Curve, Residuals
from schemas.profile import Bin

_WIDE, _HIGH = 420, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 44
_COLOURS = 12

Point = tuple[float, float]


def roc(curves: Sequence[Curve]) -> Html:
    lines = [(each.label, each.points) for each in curves]
    return _unit_plot("False positive rate", "True positive rate", lines, diagonal=True)


def precision_recall(curves: Sequence[Curve]) -> Html:
    return _unit_plot("Recall", "Precision", [(each.label, each.points) for each in curves])


def calibration(found: Sequence[Calibration]) -> Html:
    lines = [(each.label, [(each_bin.predicted, each_bin.observed) for each_bin in each.bins]) for each in found]
    return _unit_plot("Predicted probability", "Observed share", lines, diagonal=True, dots=len(found) == 1)


def legend(entries: Sequence[tuple[str, str]]) -> Html:
    """Of (label, figure), in the order of the lines."""
    items = [
        el("li", _swatch(at), el("bdi", label), " ", el("span", figure, class_="soft"))
        for at, (label, figure) in enumerate(entries)
    ]
    return el("ul", *items, class_="keys")


def scatter(found: Residuals) -> Html:
    """Predicted against actual; on the line they are equal."""
    values = [value for point in found.points for value in point]
    low, high = min(values), max(values)
    axes = _Axes(
        (low, high or 1.0) if low < high else (low - 1, low + 1), (low, high) if low < high else (low - 1, low + 1)
    )
    ends = axes.path([(axes.x[0], axes.x[0]), (axes.x[1], axes.x[1])])
    dots = [el("circle", cx=f"{axes.at_x(x):.1f}", cy=f"{axes.at_y(y):.1f}", r="2.5") for x, y in found.points]
    parts = [axes.frame("Predicted", "Actual"), el("path", d=ends, class_="diagonal"), el("g", *dots, class_="dots")]
    return _drawing(parts, f"Predicted against actual values of {count(len(found.points))} rows")


def histogram(bins: Sequence[Bin], across: str) -> Html:
    most = max(each.count for each in bins)
    axes = _Axes((bins[0].low, bins[-1].high), (0.0, float(most)))
    bars = [
        el(
            "rect",
            x=f"{axes.at_x(each.low):.1f}",
            y=f"{axes.at_y(each.count):.1f}",
            width=f"{max(0.5, axes.at_x(each.high) - axes.at_x(each.low) - 1):.1f}",
            height=f"{axes.at_y(0) - axes.at_y(each.count):.1f}",
            class_="mark",
        )
        for each in bins
        if each.count
    ]
    return _drawing([axes.frame(across, "Rows"), *bars], f"Histogram: {across.lower()}")


def confusion(found: Confusion) -> Html:
    """Rows are what is, columns what was said; the darker, the larger the share of the row."""
    heads = [el("th", el("div", el("bdi", each)), scope="col", class_="slanted") for each in found.classes]
    rows: list[Html] = []
    for label, counts in zip(found.classes, found.counts, strict=True):
        total = sum(counts) or 1
        cells = [_cell(each / total, each, right=at == len(rows)) for at, each in enumerate(counts)]
        rows.append(
            el("tr", el("th", el("bdi", label), scope="row"), *cells, el("td", count(sum(counts)), class_="sum"))
        )
    corner = el("td", el("span", "actual \N{DOWNWARDS ARROW} predicted \N{RIGHTWARDS ARROW}", class_="soft"))
    head = el("thead", el("tr", corner, *heads, el("th", "Rows", scope="col", class_="sum")))
    caption = el("caption", "Actual classes by row, predicted ones by column", class_="hidden")
    class_ = "confusion many" if len(found.classes) > 12 else "confusion"
    return el(
        "div",
        el("table", caption, head, el("tbody", *rows), class_=class_),
        class_="wide",
        tabindex="0",
        role="region",
        aria_label="Confusion matrix",
    )


def interval(value: float, low: float, high: float, baseline: float) -> Html:
    """Where a figure and its interval lie, and how far the baseline is."""
    ends = [value, low, high, baseline]
    left, right = min(ends), max(ends)
    pad = (right - left) * 0.04 or 1.0

    def at(figure: float) -> str:
        return f"{(figure - left + pad) / (right - left + 2 * pad) * 200:.1f}"

    parts = [
        el("path", d="M0 9H200", class_="rule"),
        el("path", d=f"M{at(baseline)} 3V15", class_="tick"),
        el("path", d=f"M{at(low)} 9H{at(high)}", class_="whisker"),
        el("circle", cx=at(value), cy=9, r=4, class_="dot"),
    ]
    return el("svg", *parts, class_="interval", viewBox="0 0 200 18", aria_hidden="true")


def _cell(share: float, each: int, *, right: bool) -> Html:
    level = 0 if not each else 1 + min(8, int(share * 9))
    kind = "right" if right else "wrong"
    return el("td", count(each) if each else "", class_=f"{kind} l{level}", title=f"{100 * share:.1f} % of the row")


class _Axes:
    def __init__(self, x: Point, y: Point) -> None:
        self.x, self.y = x, y

    def at_x(self, value: float) -> float:
        return _LEFT + (value - self.x[0]) / ((self.x[1] - self.x[0]) or 1) * (_WIDE - _LEFT - _RIGHT)

    def at_y(self, value: float) -> float:
        return _HIGH - _BOTTOM - (value - self.y[0]) / ((self.y[1] - self.y[0]) or 1) * (_HIGH - _TOP - _BOTTOM)

    def path(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(f"{self.at_x(x):.1f} {self.at_y(y):.1f}" for x, y in points)

    def frame(self, across: str, up: str) -> Html:
        parts = []
        for value in _ticks(*self.y):
            y = self.at_y(value)
            parts.append(el("path", d=f"M{_LEFT} {y:.1f}H{_WIDE - _RIGHT}", class_="rule"))
            parts.append(el("text", _short(value), x=_LEFT - 8, y=f"{y + 4:.1f}", class_="axis end"))
        for value in _ticks(*self.x):
            x = self.at_x(value)
            parts.append(el("text", _short(value), x=f"{x:.1f}", y=_HIGH - _BOTTOM + 18, class_="axis middle"))
        parts.append(el("path", d=f"M{_LEFT} {_HIGH - _BOTTOM}H{_WIDE - _RIGHT}", class_="base"))
        middle = (_TOP + _HIGH - _BOTTOM) // 2
        parts.append(el("text", across, x=(_LEFT + _WIDE - _RIGHT) // 2, y=_HIGH - 6, class_="axis name middle"))
        turned = f"rotate(-90 12 {middle})"
        parts.append(el("text", up, x=12, y=middle, transform=turned, class_="axis name middle"))
        return join(parts)


def _unit_plot(
    across: str, up: str, lines: Sequence[tuple[str, Sequence[Point]]], *, diagonal: bool = False, dots: bool = False
) -> Html:
    axes = _Axes((0.0, 1.0), (0.0, 1.0))
    parts = [axes.frame(across, up)]
    if diagonal:
        parts.append(el("path", d=axes.path([(0, 0), (1, 1)]), class_="diagonal"))
    for at, (_, points) in enumerate(lines):
        parts.append(el("path", d=axes.path(points), class_=f"line k{at % _COLOURS}"))
        if dots:
            marks = [el("circle", cx=f"{axes.at_x(x):.1f}", cy=f"{axes.at_y(y):.1f}", r="3.5") for x, y in points]
            parts.append(el("g", *marks, class_=f"dots k{at % _COLOURS}"))
    return _drawing(parts, f"{up} against {across.lower()}")


def _drawing(parts: Sequence[str], label: str) -> Html:
    return el("svg", *parts, class_="chart plot", viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", aria_label=label)


def _swatch(at: int) -> Html:
    line = el("path", d="M0 5H18", class_=f"line k{at % _COLOURS}")
    return el("svg", line, class_="swatch", viewBox="0 0 18 10", aria_hidden="true")


def _ticks(low: float, high: float) -> list[float]:
    """About five, at round figures."""
    if not high > low:
        return [low]
    rough = (high - low) / 5
    unit = 10.0 ** _floor_log(rough)
    step = next(each * unit for each in (1, 2, 5, 10) if each * unit >= rough * 0.999)
    first = -(-low // step)
    return [(first + at) * step for at in range(12) if (first + at) * step <= high + step * 1e-9]


def _floor_log(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def _short(value: float) -> str:
    for unit, symbol in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= unit:
            return f"{number(value / (1e3 if symbol == 'k' else unit), digits=3)}{symbol}"
    return number(round(value, 12), digits=3)
