"""What the pages of profiles do in the browser."""

from reports.frame import static

_NAMES = ("charts.js", "related.js", "detail.js", "columns.js", "heatmap.js", "page.js")


def scripts() -> list[str]:
    return [static("reports", name) for name in _NAMES]
