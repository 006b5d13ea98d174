"""Settings of the notifications pool, from the environment."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_DAY_S = 24 * 3600.0


class NotificationSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_NOTIFICATIONS_", env_ignore_empty=True, extra="ignore")

    allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks that are not public and may be reached all the same, separated by commas: `127.0.0.0/8,10.1.0.0/16`"""
    connect_s: float = Field(5.0, gt=0)
    """How long a receiver may take to be connected to."""
    answer_s: float = Field(15.0, gt=0)
    """How long it may take from the first byte that we send to the status of its answer."""
    disable_after_s: float = Field(5 * _DAY_S, gt=0)
    """An endpoint that has answered nothing for so long gets nothing any more."""
    keep_s: float = Field(30 * _DAY_S, gt=0)
    """How long the delivery log, and what people find in the application, are kept."""
    smtp_url: SecretStr | None = None
    """`smtp://user:password@host:587`, which turns to TLS where it can, or `smtps://`; no mails without it."""
    mail_from: str = "Millrace <millrace@localhost>"
    push_contact: str = "mailto:millrace@localhost"
    """How push services reach who runs this: a `mailto:` or an `https:` URL."""
    public_url: str = Field("", validation_alias="MILLRACE_PUBLIC_URL")
    """Where people reach the gateway: what links begin with."""

    @field_validator("allowed_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
