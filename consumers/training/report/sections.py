"""The sections of a card."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pydantic import JsonValue

from consumers.training.report import plots
from reports import marks
from reports.figures import NONE, count, duration, moment, number, share, shown
from reports.frame import key_figures, section
from reports.html import Html, breakable, el, join
from schemas.datasets import ColumnType
from schemas.learning import InputColumn
from schemas.model_card import MetricValue, ModelCard, Trial

_FIRST = 15
_CATEGORIES = 6
_FIGURES = {"Score", "Weight", "Time", "in the metric", "Precision", "Recall", "Actual", "Predicted"}


def header(card: ModelCard) -> Html:
    first = card.metrics[0]
    method = "on a holdout" if card.estimated_by == "holdout" else "by cross-validation"
    told = f"Version {card.version} · trained {moment(card.created_at)} · predicts "
    spread = f"{_figure(first.low)} to {_figure(first.high)}" if first.low is not None else ""
    best = next(trial for trial in card.trials if trial.weight)
    members = sum(1 for trial in card.trials if trial.weight)
    return el(
        "header",
        el("p", "Model card", class_="kicker"),
        el("h1", el("bdi", shown(card.name, 200))),
        el("p", told, el("bdi", shown(card.signature.target)), class_="note"),
        key_figures(
            [
                (_title(first.name), _figure(first.value), spread),
                ("Baseline", _figure(first.baseline), "looks at no input"),
                ("Task", card.task.value, _classes(card)),
                ("Model", best.trainer, f"with {members - 1} more" if members > 1 else "alone"),
                ("Measured", count(card.evaluated_rows), f"rows, {method}"),
                ("Training", duration(card.seconds), f"{count(len(card.trials))} trials"),
            ]
        ),
    )


def warned(card: ModelCard) -> Html:
    if not card.warnings:
        return section("warnings", "Before you trust it", el("p", "Nothing stands out.", class_="empty"))
    items = [el("li", el("bdi", shown(text, 1_000))) for text in card.warnings]
    return section("warnings", "Before you trust it", el("ul", *items, class_="cautions"))


def metrics(card: ModelCard) -> Html:
    heads = ("Metric", "Value", "95 % interval", "Baseline", "")
    rows = [_metric(each, optimised=at == 0) for at, each in enumerate(card.metrics)]
    note = {
        "holdout": "On rows that nothing was chosen by. Then the model was fitted again on all rows.",
        "cross-validation": "On the folds that the choice was made by, so slightly too good.",
    }[card.estimated_by]
    table = el(
        "table",
        el("caption", "Metrics with their intervals and baselines", class_="hidden"),
        el("thead", el("tr", *(el("th", text, scope="col", class_=_numeric(at)) for at, text in enumerate(heads)))),
        el("tbody", *rows),
        class_="metrics",
    )
    return section("metrics", "How good it is", table, note=note)


def importances(card: ModelCard) -> Html:
    if not card.importances:
        return join([])
    most = max(each.mean for each in card.importances) or 1.0
    rows = [
        el(
            "tr",
            el("th", el("bdi", breakable(shown(each.column, 200))), scope="row"),
            el("td", marks.bar(max(0.0, each.mean) / most if most > 0 else 0.0), class_="long"),
            el(
                "td",
                number(each.mean, digits=3),
                el("span", f" ±{number(each.std, digits=2)}", class_="soft"),
                class_="figure",
            ),
        )
        for each in card.importances
    ]
    heads = ("Column", "Loss of quality", "in the metric")
    tables = _folded(rows, heads, "ranking weights", "Importance of the columns")
    note = f"How much {_title(card.metric)} worsens when a column is shuffled, on rows the model was not fitted on."
    return section("importances", "What it looks at", *tables, note=note)


def errors(card: ModelCard) -> Html:
    """Where it is wrong."""
    if card.residuals is not None:
        pair = [
            _figure_of("Predicted and actual", plots.scatter(card.residuals)),
            _figure_of("Residuals", plots.histogram(card.residuals.histogram, "Predicted minus actual")),
        ]
        return section("errors", "Where it is wrong", el("div", *pair, class_="plots"))
    if card.entities:
        return section("errors", "Where it is wrong", _entities(card))
    parts = []
    if card.confusion is not None:
        parts.append(_figure_of("Confusion", plots.confusion(card.confusion)))
    drawn = []
    if card.roc:
        drawn.append(
            _figure_of(
                "ROC",
                plots.roc(card.roc),
                plots.legend([(each.label, f"area {number(each.area, digits=3)}") for each in card.roc]),
            )
        )
    if card.precision_recall:
        keys = [(each.label, f"average {number(each.area, digits=3)}") for each in card.precision_recall]
        drawn.append(
            _figure_of("Precision and recall", plots.precision_recall(card.precision_recall), plots.legend(keys))
        )
    if card.calibration:
        keys = [(each.label, f"Brier {number(each.brier, digits=2)}") for each in card.calibration]
        drawn.append(_figure_of("Calibration", plots.calibration(card.calibration), plots.legend(keys)))
    parts.append(el("div", *drawn, class_="plots"))
    return section("errors", "Where it is wrong", *parts)


def _entities(card: ModelCard) -> Html:
    rows = [
        el(
            "tr",
            el("th", el("bdi", breakable(shown(each.label, 200))), scope="row"),
            *(el("td", number(value, digits=3), class_="figure") for value in (each.precision, each.recall)),
            *(el("td", count(value), class_="figure") for value in (each.actual, each.predicted)),
        )
        for each in card.entities
    ]
    heads = ("Label", "Precision", "Recall", "Actual", "Predicted")
    return el("div", *_folded(rows, heads, "entities", "Entities by label"), class_="wide")


def trials(card: ModelCard) -> Html:
    heads = ("Trial", "Trainer", "Score", "Weight", "Time", "Settings")
    tables = _folded([_trial(trial) for trial in card.trials], heads, "trials", "Trials, best first")
    note = f"{_title(card.metric)}, mean over the folds ± their deviation. What has a weight is in the model."
    return section("trials", "What was tried", el("div", *tables, class_="wide"), note=note)


def inputs(card: ModelCard) -> Html:
    rows = [
        el(
            "tr",
            el("th", el("bdi", breakable(shown(each.name, 200))), scope="row"),
            el("td", each.type.value),
            el("td", "some" if each.missing else "none", class_=None if each.missing else "soft"),
            el("td", el("bdi", _seen(each))),
        )
        for each in card.signature.inputs
    ]
    heads = ("Column", "Type", "Missing values", "What it was shown")
    return section("inputs", "What it takes", *_folded(rows, heads, "inputs", "Inputs of the model"))


def origin(card: ModelCard) -> Html:
    told = card.origin
    facts = [
        ("Dataset", f"{told.dataset_name}, version {told.dataset_version}, {count(told.rows)} rows"),
        ("Table", f"sha256 {told.table_sha256}"),
        ("Job", told.job_id),
        ("Model", f"{card.model_id}, version {card.version}"),
        ("Code", told.code_version),
        ("Seed", str(told.seed)),
        *((name, _json(value)) for name, value in _asked(card.params)),
    ]
    rows = [el("tr", el("th", name, scope="row"), el("td", el("bdi", shown(value, 500)))) for name, value in facts]
    table = el(
        "table", el("caption", "Where the model came from", class_="hidden"), el("tbody", *rows), class_="origin"
    )
    return section("origin", "Where it came from", table)


def _metric(each: MetricValue, *, optimised: bool) -> Html:
    spread = f"{_figure(each.low)} to {_figure(each.high)}" if each.low is not None else NONE
    drawing = plots.interval(each.value, each.low or each.value, each.high or each.value, each.baseline)
    better = "higher is better" if each.greater_is_better else "lower is better"
    return el(
        "tr",
        el("th", _title(each.name), el("small", "optimised, " + better if optimised else better), scope="row"),
        el("td", el("strong", _figure(each.value)), class_="figure"),
        el("td", spread, class_="figure soft"),
        el("td", _figure(each.baseline), class_="figure soft"),
        el("td", drawing, class_="drawn"),
    )


def _trial(trial: Trial) -> Html:
    score = NONE if trial.score is None else _figure(trial.score)
    spread = "" if trial.std is None else f" ±{number(trial.std, digits=2)}"
    told = trial.failure or ", ".join(f"{name} {_json(value)}" for name, value in trial.config.items()) or "defaults"
    return el(
        "tr",
        el("th", str(trial.number + 1), scope="row"),
        el("td", trial.trainer),
        el("td", score, el("span", spread, class_="soft"), class_="figure"),
        el("td", share(trial.weight) if trial.weight else "", class_="figure"),
        el("td", duration(trial.seconds), class_="figure soft"),
        el("td", el("bdi", shown(told, 400)), class_="settings"),
        class_="chosen" if trial.weight else None,
    )


def _folded(rows: Sequence[Html], heads: Sequence[str], class_: str, caption: str) -> list[Html]:
    """A table, of which the rest is folded away."""
    parts = []
    for shown_rows in (rows[:_FIRST], rows[_FIRST:]):
        cells = [el("th", text, scope="col", class_="figure" if text in _FIGURES else None) for text in heads]
        head = el("thead", el("tr", *cells))
        title = el("caption", caption, class_="hidden")
        parts.append(el("table", title, head, el("tbody", *shown_rows), class_=class_))
    more = el("details", el("summary", f"{count(len(rows) - _FIRST)} more"), parts[1])
    return [parts[0], more] if rows[_FIRST:] else parts[:1]


def _figure_of(title: str, *parts: Html) -> Html:
    return el("figure", el("figcaption", title), *parts)


def _asked(params: dict[str, JsonValue]) -> list[tuple[str, JsonValue]]:
    """What was asked for, but for what stands elsewhere."""
    said = ("trainer", "config", "exclude", "preprocess", "budget_s", "max_trials", "split", "memory_mb")
    return [
        (name.removesuffix("_s").replace("_", " ").capitalize(), params[name]) for name in said if params.get(name)
    ]


def _json(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_json(each)}" for key, each in value.items() if each is not None)
    if isinstance(value, list):
        return ", ".join(_json(each) for each in value)
    return number(value, digits=4) if isinstance(value, float) else shown(value)


def _seen(column: InputColumn) -> str:
    if column.categories is not None and column.type is not ColumnType.BOOLEAN:
        named = ", ".join(shown(each, 30) for each in column.categories[:_CATEGORIES])
        rest = len(column.categories) - _CATEGORIES
        return f"{named} and {count(rest)} more" if rest > 0 else named
    if column.min is None or column.max is None:
        return ""
    if column.type in (ColumnType.DATE, ColumnType.TIMESTAMP):
        return f"{_day(column.min)} to {_day(column.max)}"
    return f"{number(column.min)} to {number(column.max)}"


def _day(seconds: float) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).date().isoformat()


def _classes(card: ModelCard) -> str:
    return f"{count(len(card.signature.classes))} classes" if card.signature.classes else ""


def _title(name: str) -> str:
    words = name.replace("-", " ")
    return (
        words.upper()
        if name in ("rmse", "mae", "mape", "r2")
        else f"{words[:1].upper()}{words[1:]}".replace("Roc auc", "ROC AUC")
    )


def _figure(value: float | None) -> str:
    return number(value, digits=4)


def _numeric(at: int) -> str | None:
    return "figure" if 0 < at < 4 else None


def navigation_of(card: ModelCard) -> Sequence[tuple[str, str, str]]:
    return [
        ("warnings", "Before you trust it", count(len(card.warnings))),
        ("metrics", "How good", ""),
        *([("importances", "What it looks at", "")] if card.importances else []),
        ("errors", "Where it is wrong", ""),
        ("trials", "What was tried", count(len(card.trials))),
        ("inputs", "Inputs", count(len(card.signature.inputs))),
        ("origin", "Origin", ""),
    ]
