"""A profile of a dataset: `profile.json`, and what the report draws.

Counts, extremes, means and deviations are exact. What may be an estimate is a `Measured`, which says so.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from schemas.datasets import ColumnType

SCHEMA_VERSION: Literal[1] = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Measured(_Part):
    value: float
    error: float | None = None
    """Relative standard error; null when the value is exact."""


class SemanticType(StrEnum):
    """What the values are about, beyond how they are stored."""

    ID = "id"
    EMAIL = "email"
    URL = "url"
    PHONE = "phone"
    IP_ADDRESS = "ip-address"
    UUID = "uuid"
    CURRENCY = "currency"
    COUNTRY = "country"
    POSTAL_CODE = "postal-code"
    CREDIT_CARD = "credit-card"
    PERSON_NAME = "person-name"
    DATE = "date"
    LATITUDE = "latitude"
    LONGITUDE = "longitude"
    YEAR = "year"
    PERCENTAGE = "percentage"
    BOOLEAN = "boolean"
    FILE_PATH = "file-path"
    FREE_TEXT = "free-text"


class Bin(_Part):
    """Values from `low`, inclusive, to `high`, exclusive but for the last bin."""

    low: float
    """A number; for dates and timestamps seconds since 1970 in UTC."""
    high: float
    count: int


class ValueCount(_Part):
    value: JsonValue
    count: int


class Outliers(_Part):
    """Beyond 1.5 interquartile ranges from the quartiles (Tukey, Exploratory Data Analysis, 1977)."""

    low: float
    high: float
    count: int


class NumberProfile(_Part):
    """Of the finite values."""

    min: int | float
    """Of a column of integers an integer, with all of its digits."""
    max: int | float
    mean: float
    std: float | None
    """Sample standard deviation; null for one value."""
    skewness: float | None = None
    kurtosis: float | None = None
    """Excess kurtosis: 0 for a normal distribution."""
    quantiles: dict[str, Measured]
    """`0.01`, `0.05`, `0.25`, `0.5`, `0.75`, `0.95`, `0.99`."""
    zeros: int
    negative: int
    infinite: int
    """Values that are infinite or NaN, left out of everything else here."""
    outliers: Outliers | None = None
    histogram: list[Bin]


class TimeProfile(_Part):
    min: datetime
    max: datetime
    future: int
    """Later than the moment of profiling."""
    histogram: list[Bin]


class TextProfile(_Part):
    min_length: int
    """In characters."""
    max_length: int
    mean_length: float
    blank: int
    """Empty, or white space only."""
    lengths: list[Bin]
    patterns: list[ValueCount]
    """Shapes of values, most frequent first: `A` for letters, `9` for digits, other characters as they are."""
    patterns_sampled: int | None = None
    """How many values the patterns were counted in; null for all."""


class Match(_Part):
    """What a column seems to be about."""

    type: SemanticType
    share: float
    """Of the values that are present, how many look like it, from 0 to 1."""


class ColumnProfile(_Part):
    name: str
    type: ColumnType
    count: int
    """Rows with a value."""
    missing: int
    distinct: Measured
    """Distinct values, missing not counted."""
    constant: bool
    unique: bool
    """No value occurs twice."""
    monotonic: Literal["increasing", "strictly-increasing", "decreasing", "strictly-decreasing"] | None = None
    """In the order of rows."""
    semantic: Match | None = None
    top: list[ValueCount]
    """Most frequent values, most frequent first."""
    top_error: float | None = None
    """Relative error of the counts in `top`; null when exact."""
    numbers: NumberProfile | None = None
    times: TimeProfile | None = None
    text: TextProfile | None = None


class CorrelationMethod(StrEnum):
    PEARSON = "pearson"
    SPEARMAN = "spearman"
    CRAMERS_V = "cramers-v"
    """Between categories, bias-corrected (Bergsma 2013)."""
    CORRELATION_RATIO = "correlation-ratio"
    """Between a category (rows) and a number (columns): eta, from 0 to 1."""


class Correlations(_Part):
    method: CorrelationMethod
    rows: list[str]
    columns: list[str]
    """The same as `rows` for the symmetric ones."""
    values: list[list[float | None]]
    """`values[i][j]` belongs to `rows[i]` and `columns[j]`; null where it is not defined."""
    sampled: int | None = None
    """How many rows it was computed from; null for all."""


class MissingPattern(_Part):
    columns: list[str]
    """Missing together, all others present."""
    count: int


class AlertKind(StrEnum):
    CONSTANT = "constant"
    ALL_MISSING = "all-missing"
    MISSING = "missing"
    DUPLICATE_ROWS = "duplicate-rows"
    DUPLICATE_COLUMNS = "duplicate-columns"
    HIGH_CARDINALITY = "high-cardinality"
    UNIQUE = "unique"
    SKEWED = "skewed"
    IMBALANCED = "imbalanced"
    ZEROS = "zeros"
    INFINITE = "infinite"
    OUTLIERS = "outliers"
    CORRELATED = "correlated"
    LEAKAGE = "leakage"
    """A single column tells the target."""
    PII = "pii"
    FUTURE = "future"
    MIXED = "mixed"
    """Text that is mostly numbers or dates."""
    BLANK = "blank"


class Alert(_Part):
    kind: AlertKind
    columns: list[str]
    severity: Literal["high", "medium", "low"]
    score: float
    """What alerts are ranked by, from 0 to 1."""
    message: str
    """One sentence with the figures, and what to do about it."""


class TargetScore(_Part):
    """How well a single column predicts the target, cross-validated: 0 is no better than a guess, 1 is perfect."""

    column: str
    score: float


class DatasetProfile(_Part):
    """Everything that is known of one dataset version."""

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    dataset_id: str | None = None
    version: str | None = None
    created_at: datetime
    seconds: float
    """How long profiling took."""
    rows: int
    bytes: int
    """Of the Parquet file."""
    missing_cells: int
    duplicate_rows: Measured
    """Rows that are equal to an earlier one."""
    columns: list[ColumnProfile]
    alerts: list[Alert]
    """Most important first."""
    correlations: list[Correlations]
    missing_patterns: list[MissingPattern]
    """Most frequent first; none when nothing is missing."""
    target: str | None = None
    target_scores: list[TargetScore] = []
    """Best first, when a target was named."""
    sample: list[dict[str, JsonValue]] = []
    """The first rows."""


class ColumnDrift(_Part):
    column: str
    score: float
    """Population stability index: under 0.1 alike, over 0.25 shifted (Siddiqi, Credit Risk Scorecards, 2006)."""
    missing_before: float
    """Shares, from 0 to 1."""
    missing_after: float
    type_before: ColumnType
    type_after: ColumnType


class ProfileComparison(_Part):
    """What changed from one profile to another."""

    before: str
    """Names of the two."""
    after: str
    rows_before: int
    rows_after: int
    added: list[str]
    removed: list[str]
    drift: list[ColumnDrift]
    """Of the columns in both, most drifted first."""
