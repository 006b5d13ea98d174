"""`dataset.profile`: what is in a version of a dataset."""

from typing import Annotated

from pydantic import StringConstraints

from schemas.contract import Contract
from schemas.files import StoredFile
from schemas.kinds import JobKind
from schemas.patterns import Id, VersionId


class ProfileDataset(Contract, name="dataset.profile"):
    """Describe every column and what stands out, as figures and as a report."""

    dataset_id: Id
    version: VersionId
    target: Annotated[str, StringConstraints(max_length=1_000)] | None = None
    """A column that is to be predicted: others are checked for telling it."""


class ProfileHeadline(Contract):
    rows: int
    columns: int
    missing_share: float
    """Of all cells, from 0 to 1."""
    duplicate_rows: int
    alerts: int
    top_alerts: list[str]
    """The most important ones, a sentence each."""


class DatasetProfiled(Contract, name="dataset.profiled"):
    """Where the profile lies, and its headline."""

    profile_id: str
    dataset_id: str
    version: str
    target: str | None = None
    headline: ProfileHeadline
    profile: StoredFile
    """`profile.json`."""
    report: StoredFile
    """`profile.html`."""


DATASET_PROFILE = JobKind(ProfileDataset, DatasetProfiled, max_attempts=3)
