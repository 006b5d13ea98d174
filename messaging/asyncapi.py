"""The AsyncAPI 3 document of what others may read or write, on the broker and on a WebSocket, made from the contracts
and their golden examples."""

import json
from importlib.resources import files
from typing import Any

from messaging import names
from schemas.contract import Contract
from schemas.envelope import Envelope, header_name
from schemas.kinds import kinds
from schemas.lifecycle import LIFECYCLE_EVENTS, LifecycleEvent
from schemas.listening import SOCKET_EXAMPLES, SOCKET_REQUESTS, SOCKET_SAYINGS
from schemas.resources import Resource

_REF = "#/components/schemas/{model}"


Examples = dict[str, dict[str, Any]]
"""Headers and payload of each message, by contract and version."""


def golden_examples() -> Examples:
    found: Examples = json.loads(files("schemas").joinpath("examples.json").read_text())
    return found


def document(version: str, examples: Examples) -> dict[str, Any]:
    channels: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Envelope": _headers_schema()}
    for kind in kinds().values():
        messages[kind.command.__name__] = _message(kind.command, schemas, examples)
        summary = f"Commands of kind {kind.name}"
        channels[f"command.{kind.name}"] = _channel(names.COMMANDS, kind.name, kind.command, summary)
    for event in LIFECYCLE_EVENTS:
        messages[event.__name__] = _message(event, schemas, examples)
        summary = f"The event {event.fact} of any kind"
        channels[f"event.{event.fact}"] = _event_channel(event, summary)
    for said in (*SOCKET_REQUESTS, *SOCKET_SAYINGS):
        messages[said.__name__] = _said(said, schemas)
    channels["socket"] = _socket()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Millrace",
            "version": version,
            "license": {"name": "Apache-2.0"},
            "description": "Commands and lifecycle events on RabbitMQ, and the events on a WebSocket as well. Bind a "
            "queue to `mr.events`, or let `millrace subscriptions create` do it: `#.succeeded` for every success, "
            "`text.embed.*` for one kind.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": _operations(channels),
        "components": {"messages": messages, "schemas": schemas},
    }


def _operations(channels: dict[str, Any]) -> dict[str, Any]:
    """As a client sees them: it sends commands and receives events."""
    found: dict[str, Any] = {
        ("request." if name.startswith("command.") else "subscribe.") + name.partition(".")[2]: {
            "action": "send" if name.startswith("command.") else "receive",
            "channel": {"$ref": f"#/channels/{name}"},
        }
        for name in channels
        if name != "socket"
    }
    for action, messages in (("send", SOCKET_REQUESTS), ("receive", SOCKET_SAYINGS)):
        refs = [{"$ref": f"#/channels/socket/messages/{message.__name__}"} for message in messages]
        found[f"socket.{action}"] = {"action": action, "channel": {"$ref": "#/channels/socket"}, "messages": refs}
    return found


def _socket() -> dict[str, Any]:
    said = [message.__name__ for message in (*SOCKET_REQUESTS, *SOCKET_SAYINGS)]
    headers = {"type": "object", "properties": {"X-API-Key": {"type": "string"}}}
    return {
        "address": "/v1/ws",
        "summary": "Topics and jobs on one WebSocket of the gateway; `/v1/jobs/{id}/ws` tells of one job alone",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in said},
        "bindings": {"ws": {"method": "GET", "headers": headers, "bindingVersion": "0.1.0"}},
    }


def _said(message: type[Resource], schemas: dict[str, Any]) -> dict[str, Any]:
    schema = message.model_json_schema(ref_template=_REF)
    schemas |= schema.pop("$defs", {})
    schemas[message.__name__] = schema
    return {
        "name": message.__name__,
        "title": message.__name__,
        "summary": (message.__doc__ or "").strip(),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
        "examples": [{"payload": SOCKET_EXAMPLES[message].model_dump(mode="json", exclude_none=True)}],
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


def _message(contract: type[Contract], schemas: dict[str, Any], examples: Examples) -> dict[str, Any]:
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
        "examples": [examples[f"{contract.contract_name}.{contract.contract_version}"]],
        "x-dataschema": contract.dataschema,
    }


def _headers_schema() -> dict[str, Any]:
    schema = Envelope.model_json_schema()
    schema["properties"] = {header_name(name): value for name, value in schema["properties"].items()}
    schema["required"] = [header_name(name) for name in schema["required"]]
    schema.pop("additionalProperties", None)  # foreign headers are ignored
    return schema
