"""The AsyncAPI 3 document of everything on the broker that others may read or write, made from the contracts."""

from typing import Any

from messaging import names
from schemas.contract import Contract
from schemas.envelope import Envelope, header_name
from schemas.kinds import kinds
from schemas.lifecycle import LIFECYCLE_EVENTS, LifecycleEvent

_REF = "#/components/schemas/{model}"


def document(version: str) -> dict[str, Any]:
    channels: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Envelope": _headers_schema()}
    for kind in kinds().values():
        messages[kind.command.__name__] = _message(kind.command, schemas)
        summary = f"Commands of kind {kind.name}"
        channels[f"command.{kind.name}"] = _channel(names.COMMANDS, kind.name, kind.command, summary)
    for event in LIFECYCLE_EVENTS:
        messages[event.__name__] = _message(event, schemas)
        summary = f"The event {event.fact} of any kind"
        channels[f"event.{event.fact}"] = _event_channel(event, summary)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Millrace",
            "version": version,
            "license": {"name": "Apache-2.0"},
            "description": "Commands and lifecycle events on RabbitMQ. Bind a queue of your own to `mr.events`: "
            "`*.*.succeeded` for every success of kinds with two words, `text.embed.#` for one kind.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": _operations(channels),
        "components": {"messages": messages, "schemas": schemas},
    }


def _operations(channels: dict[str, Any]) -> dict[str, Any]:
    """As a client sees them: it sends commands and receives events."""
    return {
        ("request." if name.startswith("command.") else "subscribe.") + name.partition(".")[2]: {
            "action": "send" if name.startswith("command.") else "receive",
            "channel": {"$ref": f"#/channels/{name}"},
        }
        for name in channels
    }


def _channel(exchange: str, key: str, contract: type[Contract], summary: str) -> dict[str, Any]:
    amqp_exchange = {"name": exchange, "type": "topic", "durable": True}
    return {
        "address": key,
        "summary": summary,
        "messages": {contract.__name__: {"$ref": f"#/components/messages/{contract.__name__}"}},
        "bindings": {"amqp": {"is": "routingKey", "exchange": amqp_exchange, "bindingVersion": "0.3.0"}},
    }


def _event_channel(event: type[LifecycleEvent], summary: str) -> dict[str, Any]:
    channel = _channel(names.EVENTS, names.event_key("{kind}", event.fact), event, summary)
    parameter = {"description": "The job kind", "enum": sorted(kinds())}
    return channel | {"parameters": {"kind": parameter}}


def _message(contract: type[Contract], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = contract.model_json_schema(ref_template=_REF)
    schemas |= schema.pop("$defs", {})
    schemas[contract.__name__] = schema
    return {
        "name": contract.contract_name,
        "title": contract.__name__,
        "summary": contract.summary(),
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/Envelope"},
        "payload": {"$ref": f"#/components/schemas/{contract.__name__}"},
        "x-dataschema": contract.dataschema,
    }


def _headers_schema() -> dict[str, Any]:
    schema = Envelope.model_json_schema()
    schema["properties"] = {header_name(name): value for name, value in schema["properties"].items()}
    schema["required"] = [header_name(name) for name in schema["required"]]
    schema.pop("additionalProperties", None)  # foreign headers are ignored
    return schema
