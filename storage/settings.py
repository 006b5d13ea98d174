"""How to reach the stores, from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StorageSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_STORAGE_", env_ignore_empty=True, extra="ignore")

    mongodb_url: str = Field("mongodb://127.0.0.1:27017/millrace", validation_alias="MONGODB_URL")
    """The path names the database; `millrace` when there is none."""
    redis_url: str = Field("redis://127.0.0.1:6379/0", validation_alias="REDIS_URL")
    """Of no other deployment: what is published reaches all of its databases."""
    data_dir: Path = Field(Path(".millrace"), validation_alias="MILLRACE_DATA_DIR")
    blob_url: str = Field("", validation_alias="BLOB_URL")
    """`file:///dir` or `s3://bucket/prefix`; a folder below the data directory when empty."""
    timeout_s: float = Field(5.0, gt=0)
    """How long a store may take to answer before it counts as away."""
    feed_ttl_s: int = Field(120, ge=1)
    """How long Redis keeps the live feed of a job after its last event."""

    answers_ttl_s: int = Field(6 * 3600, ge=0)
    """How long Redis keeps what a model has answered; 0 keeps nothing."""

    @property
    def blobs(self) -> str:
        return self.blob_url or (self.data_dir.resolve() / "blobs").as_uri()
