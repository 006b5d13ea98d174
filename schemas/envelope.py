"""The metadata around every message: CloudEvents 1.0 attributes plus our own, carried as AMQP headers."""

from datetime import UTC, datetime
from secrets import token_hex
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.lifecycle import MAX_ATTEMPT, MAX_GENERATION, MAX_SEQUENCE, LifecycleEvent

CLOUDEVENTS_PREFIX = "cloudEvents_"  # the AMQP protocol binding of CloudEvents 1.0.2, section 3.1.3.1
OWN_PREFIX = "mr-"
_CLOUDEVENTS = ("id", "source", "type", "subject", "time", "dataschema")
_TYPE_PREFIX = "millrace."

CacheControl = Literal["no-cache", "no-store"]
"""What must not be done with kept answers, as HTTP says it (RFC 9111, section 5.2.1): give one, or even keep one."""


class Envelope(BaseModel):
    """Who says what about which job. Frozen: a retry or a reply is a copy with changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    type: Annotated[str, Field(pattern=r"^millrace\.")]
    subject: str | None = None
    time: AwareDatetime
    dataschema: str

    job_id: Annotated[str, Field(min_length=1, max_length=64)]
    kind: Annotated[str, Field(min_length=1, max_length=64)]
    generation: Annotated[int, Field(ge=0, le=MAX_GENERATION)] = 0
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)] = 1
    sequence: Annotated[int, Field(ge=0, le=MAX_SEQUENCE)] = 0
    epoch: Annotated[int, Field(ge=0)] = 0
    correlation_id: str | None = None
    causation_id: str | None = None
    principal: str
    idempotency_key: str | None = None
    deadline: AwareDatetime | None = None
    traceparent: str | None = None
    cache_control: CacheControl | None = None

    def headers(self) -> dict[str, Any]:
        """AMQP headers. What is absent or zero is left out. Times are RFC 3339 text: AMQP's have whole seconds."""
        found: dict[str, Any] = {}
        for name, value in self.__dict__.items():
            if not value:
                continue
            header = _HEADER_OF[name]
            found[header] = value.isoformat() if isinstance(value, datetime) else value
        return found

    @classmethod
    def from_headers(cls, headers: dict[str, Any]) -> Self:
        """Raises pydantic.ValidationError naming every header that is missing or wrong; ignores foreign ones."""
        return cls.model_validate({_NAME_OF[h]: v for h, v in headers.items() if h in _NAME_OF})

    def event(self, event: LifecycleEvent, *, source: str, attempt: int | None = None, sequence: int = 0) -> Self:
        """The envelope of `event`, a fact about this command's job and caused by this message."""
        return self.model_copy(
            update={
                "id": new_id(),
                "source": source,
                "type": message_type(event.contract_name),
                "time": datetime.now(UTC),
                "dataschema": event.dataschema,
                "attempt": self.attempt if attempt is None else attempt,
                "sequence": sequence,
                "causation_id": self.id,
            }
        )


def new_id() -> str:
    """128 random bits as hexadecimal digits: as good as a UUID, for a third of its price."""
    return token_hex(16)


def message_type(contract_name: str) -> str:
    return _TYPE_PREFIX + contract_name


def header_name(attribute: str) -> str:
    """The AMQP header that carries an attribute."""
    if attribute in _CLOUDEVENTS:
        return CLOUDEVENTS_PREFIX + attribute
    return OWN_PREFIX + attribute.replace("_", "-")


_HEADER_OF = {name: header_name(name) for name in Envelope.model_fields}
_NAME_OF = {header: name for name, header in _HEADER_OF.items()}
