"""Datasets over HTTP: names, versions, profiles, and what can be asked of them."""

from typing import Annotated

from pydantic import StringConstraints

from schemas.datasets import Column, Reading
from schemas.jobs.dataset_profile import ProfileHeadline
from schemas.resources import Resource, Time


class DatasetLinks(Resource):
    self: str
    versions: str
    preview: str
    table: str
    """The rows as a Parquet file."""
    rejects: str | None = None
    """The rows that could not be read, as a Parquet file."""
    profile: str
    report: str


class DatasetSummary(Resource):
    id: str
    name: str
    principal: str
    created_at: Time
    updated_at: Time
    latest: str
    """The newest version."""
    links: DatasetLinks


class DatasetVersion(Resource):
    """One file as it was read."""

    version: str
    number: int
    """Counts the versions of the dataset, from 1."""
    created_at: Time
    job_id: str
    """The ingestion."""
    rows: int
    columns: list[Column]
    sha256: str
    """Of the uploaded file."""
    table_bytes: int
    """Size of the Parquet file."""
    rejected: int
    reading: Reading
    warnings: list[str]


class Dataset(DatasetSummary):
    """A dataset with one of its versions."""

    version: DatasetVersion


class DatasetPage(Resource):
    items: list[DatasetSummary]
    next: str | None
    """Path of the next page; null on the last."""


class ProfileRequest(Resource):
    version: Annotated[str, StringConstraints(max_length=100)] | None = None
    """The latest when left out."""
    target: Annotated[str, StringConstraints(max_length=1_000)] | None = None
    """A column that is to be predicted."""


class ProfileSummary(Resource):
    id: str
    dataset_id: str
    version: str
    target: str | None
    created_at: Time
    headline: ProfileHeadline
