"""The report: one safe file, readable without its script, honest about estimates."""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from reports import figures, html, render, render_comparison
from reports.comparison import band
from schemas.datasets import ColumnType
from schemas.profile import (
    Alert,
    AlertKind,
    Bin,
    ColumnDrift,
    ColumnProfile,
    CorrelationMethod,
    Correlations,
    DatasetProfile,
    Match,
    Measured,
    MissingPattern,
    NumberProfile,
    Outliers,
    ProfileComparison,
    SemanticType,
    TargetScore,
    TextProfile,
    TimeProfile,
    ValueCount,
)

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "</td></table><h1>taken</h1>",
    "<!--<script>",
    "$policy ${data} $$",
    "line\u2028separated\u2029twice",
    "\u202egnp.exe",
    "nul\x00 and\ttab",
    "__proto__",
]
VOID = {"meta", "link", "input", "br", "wbr", "img", "hr"}


class Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.texts: list[str] = []
        self.left_open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.left_open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.left_open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self.left_open[-1] if self.left_open else ""
        {"script": self.scripts, "style": self.styles}.get(inside, self.texts).append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[1])


def numbers(error: float | None = None, bins: int = 40) -> NumberProfile:
    keys = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99")
    quantiles = {key: Measured(value=float(key) * 123.456789012345, error=error) for key in keys}
    width = 123.456789012345 / bins
    histogram = [Bin(low=at * width, high=(at + 1) * width, count=1000 + at) for at in range(bins)]
    outliers = Outliers(low=-1.5, high=120.0, count=12)
    shape: dict[str, Any] = {"mean": 61.7283945, "std": 12.3456789, "zeros": 3, "negative": 0, "infinite": 0}
    return NumberProfile(min=0, max=123.456789, quantiles=quantiles, outliers=outliers, histogram=histogram, **shape)


def column(name: str, type: ColumnType = ColumnType.FLOAT, **changes: Any) -> ColumnProfile:
    usual: dict[str, Any] = {
        "count": 1_000_000,
        "missing": 0,
        "distinct": Measured(value=1_234_567, error=0.01),
        "constant": False,
        "unique": False,
        "top": [ValueCount(value="first", count=500_000), ValueCount(value="second", count=3)],
    }
    return ColumnProfile(name=name, type=type, **(usual | changes))


def profile(columns: list[ColumnProfile], **changes: Any) -> DatasetProfile:
    usual: dict[str, Any] = {
        "name": "trips",
        "created_at": NOW,
        "seconds": 3.2,
        "rows": 1_000_000,
        "bytes": 187_304_112,
        "missing_cells": 0,
        "duplicate_rows": Measured(value=0),
        "alerts": [],
        "correlations": [],
        "missing_patterns": [],
    }
    return DatasetProfile(columns=columns, **(usual | changes))


def alert(name: str, kind: AlertKind = AlertKind.SKEWED, message: str = "") -> Alert:
    return Alert(kind=kind, columns=[name], severity="high", score=0.5, message=message or f"{name} is skewed.")


def full(names: list[str]) -> DatasetProfile:
    """Every part of a report, with these names and values."""
    text = TextProfile(
        min_length=0,
        max_length=9,
        mean_length=4.5,
        blank=0,
        lengths=[Bin(low=0, high=9, count=7)],
        patterns=[ValueCount(value=name, count=5) for name in names],
    )
    top = [ValueCount(value=name, count=9) for name in names]
    square = [[1.0 if i == j else 0.5 for j in range(len(names))] for i in range(len(names))]
    return profile(
        [column(name, ColumnType.TEXT, text=text, top=top, numbers=numbers()) for name in names],
        name=names[0],
        version=names[-1],
        alerts=[alert(name) for name in names],
        correlations=[
            Correlations(method=method, rows=names, columns=names, values=square) for method in CorrelationMethod
        ],
        missing_patterns=[MissingPattern(columns=[name], count=3) for name in names],
        target=names[0],
        target_scores=[TargetScore(column=name, score=0.5) for name in names],
        sample=[{name: [name, {name: None}] for name in names}, dict.fromkeys(names, None)],
    )


def compared(names: list[str]) -> ProfileComparison:
    drift = [
        ColumnDrift(
            column=name,
            score=score,
            missing_before=0,
            missing_after=0.145,
            type_before=ColumnType.INTEGER,
            type_after=ColumnType.FLOAT,
        )
        for name, score in zip(names, (0.82, 0.18, 0.02, 0.0, 0.3, 0.1, 0.25, 0.2, 0.1, 0.1), strict=False)
    ]
    return ProfileComparison(
        before=names[0], after=names[1], rows_before=1000, rows_after=1200, added=names, removed=names, drift=drift
    )


PAGES = [
    pytest.param(render(full(["fare_amount", "tip", "distance"])), id="profile"),
    pytest.param(render(full(HOSTILE)), id="hostile"),
    pytest.param(render(profile([], rows=0)), id="no columns"),
    pytest.param(render_comparison(compared(["a", "b", "c"])), id="comparison"),
    pytest.param(render_comparison(compared(HOSTILE)), id="hostile comparison"),
]


@pytest.mark.parametrize("text", PAGES)
def test_a_page_refers_to_nothing_outside_itself(text: str) -> None:
    page = Page(text)
    for _, attributes in page.elements:
        assert not {"src", "srcset", "action", "style", "background", "poster"} & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]
        assert re.fullmatch(r"#[\w-]+|data:,|", attributes.get("href") or "")
    assert not re.search(r"url\(|@import|image-set", "".join(page.styles))
    assert not re.search(r"fetch\(|XMLHttpRequest|WebSocket|import\(|innerHTML|document\.write", page.scripts[2])


@pytest.mark.parametrize("text", PAGES)
def test_the_policy_allows_our_script_and_style_alone(text: str) -> None:
    page = Page(text)
    policy = next(each["content"] or "" for each in page.all("meta") if each.get("http-equiv"))
    own = [page.scripts[0], page.scripts[2], *page.styles]
    expected = {f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in own}
    assert set(re.findall(r"'sha256-[^']+'", policy)) == expected
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("text", PAGES)
def test_a_page_is_well_formed(text: str) -> None:
    page = Page(text)
    assert page.left_open == []
    assert [each.get("type") for each in page.all("script")] == [None, "application/json", None]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {(each["href"] or "")[1:] for each in page.all("a")}
    assert links <= set(ids)


@pytest.mark.parametrize("text", PAGES)
def test_headings_and_tables_say_what_they_are(text: str) -> None:
    page = Page(text)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert {tag for tag, _ in page.elements} >= {"header", "nav", "main"}
    assert all(each.get("scope") in {"row", "col"} for each in page.all("th"))
    assert all(each.get("aria-hidden") == "true" for each in page.all("svg"))


def test_hostile_names_and_values_stay_text() -> None:
    text = render(full(HOSTILE))
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert "img" not in tags
    assert text.count("<script") == 3
    assert text.count("</script") == 3
    assert not re.search("[\x00\u2028\u2029\u202e]", text)
    assert "<script>alert(1)</script>" in page.text
    assert [each["name"] for each in page.data["columns"]] == [figures.shown(name) for name in HOSTILE]


def test_every_column_and_alert_is_there_without_the_script() -> None:
    names = [f"column_{at}" for at in range(300)]
    found = profile([column(name, numbers=numbers()) for name in names], alerts=[alert(name) for name in names])
    page = Page(render(found))
    rows = [each["id"] for each in page.all("tr") if "id" in each]
    assert rows == [f"c{at}" for at in range(300)]
    text = page.text
    for name in names:
        assert f"{name} is skewed." in text
        assert f"{name}1 alertfloat" in text


def test_estimates_show_their_error_and_exact_figures_do_not() -> None:
    estimated = Page(render(profile([column("a")], duplicate_rows=Measured(value=1203, error=0.08)))).text
    assert "about 1.2\xa0M" in estimated
    assert "±1\xa0%" in estimated
    assert "about 1,200" in estimated
    exact = Page(
        render(profile([column("a", distinct=Measured(value=42))], duplicate_rows=Measured(value=1203)))
    ).text
    assert "1,203" in exact
    assert "about" not in exact
    assert "±" not in exact


def test_a_sampled_correlation_says_so() -> None:
    values = [[1.0, 0.999], [0.999, 1.0]]
    found = Correlations(method=CorrelationMethod.PEARSON, rows=["a", "b"], columns=["a", "b"], values=values)
    columns = [column("a"), column("b")]
    assert "estimate" not in Page(render(profile(columns, correlations=[found]))).text
    sampled = Page(render(profile(columns, correlations=[found.model_copy(update={"sampled": 100_000})])))
    assert "An estimate from a sample of 100,000 rows." in sampled.text
    assert "0.99" in sampled.text  # and not 1.00
    assert list(base64.b64decode(sampled.data["correlations"][0]["values"])) == [100, 99, 99, 100]


def test_five_hundred_columns_stay_small() -> None:
    names = [f"a_rather_long_column_name_{at}" for at in range(500)]
    top = [ValueCount(value=f"value number {at}", count=1000 - at) for at in range(20)]
    square = [[((i * 31 + j * 17) % 200) / 100 - 1 for j in range(500)] for i in range(500)]
    correlations = [
        Correlations(method=method, rows=names, columns=names, values=square)
        for method in (CorrelationMethod.PEARSON, CorrelationMethod.SPEARMAN)
    ]
    columns = [column(name, numbers=numbers(0.01), top=top) for name in names]
    rows: Any = [dict.fromkeys(names, 0.123456789)] * 20
    found = profile(columns, alerts=[alert(name) for name in names], correlations=correlations, sample=rows)
    assert len(render(found).encode()) < 2_000_000


def test_no_figure_is_longer_than_a_person_reads() -> None:
    page = Page(render(full(["fare", "tip"])))
    assert not re.search(r"\d\.\d{7}", page.text)
    assert not re.search(r"\d\.\d{13}", page.scripts[1])


@pytest.mark.parametrize(
    "found",
    [
        profile([], rows=0, bytes=0),
        profile([column("a", count=0, distinct=Measured(value=0), top=[])], rows=0),
        profile([column("a", count=0, missing=1_000_000, distinct=Measured(value=0), top=[])]),
        profile([column("a", numbers=numbers(bins=1), constant=True, unique=True, count=1)], rows=1),
        profile(
            [
                column(
                    "a",
                    ColumnType.DATE,
                    times=TimeProfile(min=NOW.replace(tzinfo=None), max=NOW, future=0, histogram=[]),
                )
            ]
        ),
        profile([column("a", distinct=Measured(value=float("nan")), top=[ValueCount(value=float("inf"), count=1)])]),
    ],
    ids=["no columns", "no rows", "all missing", "one value", "a day", "not finite"],
)
def test_little_or_odd_data_renders(found: DatasetProfile) -> None:
    page = Page(render(found))
    assert "Nothing stands out." in page.text
    assert len(page.data["columns"]) == len(found.columns)


def test_years_and_numbers_that_name_things_have_no_separators() -> None:
    year = numbers().model_copy(update={"min": 1999.0, "max": 2026.0, "mean": 2012.5})
    semantic = Match(type=SemanticType.YEAR, share=1)
    page = Page(render(profile([column("model_year", ColumnType.INTEGER, numbers=year, semantic=semantic)])))
    assert "1999 to 2026" in page.text


def test_comparison() -> None:
    page = Page(render_comparison(compared(["fare", "tip", "flag"])))
    for told in ("+200 (20\xa0%)", "shifted", "shifting", "alike", "0.82", "0\xa0% to 14.5\xa0%", "integer to float"):
        assert told in page.text
    bands = [each["data-band"] for each in page.all("tr") if "data-band" in each]
    assert bands == ["shifted", "shifting", "alike"]


def test_comparison_without_changes() -> None:
    found = ProfileComparison(before="a", after="b", rows_before=0, rows_after=0, added=[], removed=[], drift=[])
    page = Page(render_comparison(found))
    assert "No column is in both." in page.text
    assert "unchanged" in page.text


@pytest.mark.parametrize(
    ("score", "named"), [(0, "alike"), (0.1, "shifting"), (0.25, "shifting"), (0.251, "shifted")]
)
def test_bands(score: float, named: str) -> None:
    assert band(score) == named


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (1_234_567, "1,234,567"),
        (-73.98765432, "\N{MINUS SIGN}73.99"),
        (0.1 + 0.2, "0.3"),
        (0.00001234567, "1.235e\N{MINUS SIGN}5"),
        (1.5e20, "1.5e20"),
        (float("nan"), figures.NONE),
    ],
)
def test_numbers(value: float, told: str) -> None:
    assert figures.number(value) == told


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Measured(value=1_234_567), "1,234,567"),
        (Measured(value=1_234_567, error=0.0081), "about 1.23\xa0M, ±0.81\xa0%"),
        (Measured(value=12_345, error=0.02), "about 12,000, ±2\xa0%"),
        (Measured(value=3.2e9, error=0.0001), "about 3.2\xa0G, ±0.01\xa0%"),
        (Measured(value=0, error=0.01), "about 0, ±1\xa0%"),
    ],
)
def test_measured(found: Measured, told: str) -> None:
    assert figures.measured(found) == told


@pytest.mark.parametrize(
    ("part", "told"), [(0, "0"), (0.0004, "<0.1"), (0.5, "50"), (0.12345, "12.3"), (0.99996, ">99.9"), (1, "100")]
)
def test_shares_never_claim_all_or_nothing(part: float, told: str) -> None:
    assert figures.share(part) == f"{told}\xa0%"


def test_text_is_escaped_unless_it_is_markup() -> None:
    assert html.el("p", "<b>", html.el("i", "&"), title='"') == '<p title="&quot;">&lt;b&gt;<i>&amp;</i></p>'
