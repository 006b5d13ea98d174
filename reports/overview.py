"""The top of the report: what the dataset is, and what deserves attention."""

from collections import Counter
from typing import Literal

from reports import marks
from reports.columns import references
from reports.figures import count, duration, measured, moment, of, share, shown, size
from reports.frame import key_figures, section
from reports.html import Html, el, join
from schemas.profile import Alert, AlertKind, DatasetProfile

# More than these are folded away, so that the columns are not far.
FIRST = 10
_SEVERITIES: tuple[Literal["high", "medium", "low"], ...] = ("high", "medium", "low")
_KINDS = {AlertKind.PII: "personal data"}


def header(profile: DatasetProfile) -> Html:
    facts = [
        f"Version {shown(profile.version)}" if profile.version else "",
        f"profiled {moment(profile.created_at)} in {duration(profile.seconds)}",
        f"target {shown(profile.target)}" if profile.target else "",
    ]
    told = " · ".join(fact for fact in facts if fact)
    return el(
        "header",
        el("p", "Dataset profile", class_="kicker"),
        el("h1", el("bdi", shown(profile.name, 200))),
        el("p", el("bdi", f"{told[:1].upper()}{told[1:]}"), class_="note"),
        _figures(profile),
        _composition(profile),
    )


def alerts(profile: DatasetProfile) -> Html:
    if not profile.alerts:
        return section("alerts", "Alerts", el("p", "Nothing stands out.", class_="empty"))
    indices = {column.name: index for index, column in enumerate(profile.columns)}
    items = [_alert(index, alert, indices) for index, alert in enumerate(profile.alerts)]
    rest = items[FIRST:]
    more = el(
        "details",
        el("summary", f"{count(len(rest))} more"),
        el("ol", *rest, start=FIRST + 1, class_="alerts"),
        id="more-alerts",
    )
    return section(
        "alerts",
        "Alerts",
        el("div", id="alert-tools", class_="js-only tools"),
        el("ol", *items[:FIRST], class_="alerts"),
        more if rest else Html(""),
        note=severities(profile),
    )


def severities(profile: DatasetProfile) -> str:
    found = Counter(alert.severity for alert in profile.alerts)
    return ", ".join(f"{count(found[each])} {each}" for each in _SEVERITIES if found[each])


def _alert(index: int, alert: Alert, indices: dict[str, int]) -> Html:
    kind = _KINDS.get(alert.kind, alert.kind.value.replace("-", " "))
    return el(
        "li",
        el("span", alert.severity, class_=f"severity {alert.severity}"),
        el("span", kind, class_="kind"),
        el("p", el("bdi", shown(alert.message, 1000)), class_="message"),
        el("p", references(alert, indices), class_="of") if alert.columns else Html(""),
        id=f"a{index}",
        data_kind=alert.kind.value,
    )


def _figures(profile: DatasetProfile) -> Html:
    cells = profile.rows * len(profile.columns)
    duplicates = measured(profile.duplicate_rows)
    text, _, error = duplicates.partition(", ±")
    part = share(of(profile.duplicate_rows.value, profile.rows))
    remark = f"±{error}, {part} of rows" if error else f"{part} of rows"
    return key_figures(
        [
            ("Rows", count(profile.rows), ""),
            ("Columns", count(len(profile.columns)), ""),
            ("Size", size(profile.bytes), "as Parquet"),
            ("Missing cells", share(of(profile.missing_cells, cells)), count(profile.missing_cells)),
            ("Duplicate rows", text, remark),
            ("Alerts", count(len(profile.alerts)), severities(profile) or "nothing stands out"),
        ]
    )


def _composition(profile: DatasetProfile) -> Html:
    """Which types the columns have, most frequent first."""
    found = Counter(column.type.value for column in profile.columns)
    most = max(found.values(), default=0)
    parts = [
        el("li", el("span", kind), el("strong", count(many)), marks.bar(of(many, most)))
        for kind, many in found.most_common()
    ]
    return el("ul", *parts, class_="types", aria_label="Columns by type") if parts else join([])
