"""How to reach RabbitMQ, from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class BrokerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_BROKER_", env_ignore_empty=True, extra="ignore")

    url: str = Field("amqp://guest:guest@127.0.0.1:5672/", validation_alias="RABBITMQ_URL")
    publish_deadline_s: float = Field(5.0, gt=0)
    """How long a publish may wait for the broker's confirm before it counts as failed."""
    heartbeat_s: int = Field(15, ge=1)
    """A peer silent for twice this long is gone."""
