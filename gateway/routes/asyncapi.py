"""The AsyncAPI document, and a page that shows it."""

import json
from functools import cache
from html import escape
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from gateway.pages import page, prose
from messaging.asyncapi import document, golden_examples

router = APIRouter(tags=["docs"])


@router.get("/asyncapi.json")
async def asyncapi_json() -> dict[str, Any]:
    """Every command and event on the broker, AsyncAPI 3."""
    return _document()


@router.get("/asyncapi", response_class=HTMLResponse, include_in_schema=False)
async def asyncapi_page() -> HTMLResponse:
    return HTMLResponse(_page())


@cache
def _document() -> dict[str, Any]:
    return document(version("millrace"), golden_examples())


@cache
def _page() -> str:
    found = _document()
    channels = "".join(map(_channel, found["channels"].values()))
    messages = "".join(
        _message(message, found["components"]["schemas"]) for message in found["components"]["messages"].values()
    )
    headers = _schema("Headers of every message", found["components"]["schemas"]["Envelope"])
    body = (
        f"<p>{prose(found['info']['description'])}</p>"
        "<p>The document: <a href='/asyncapi.json'>asyncapi.json</a></p>"
        f"<h2>Channels</h2><table><tr><th>Where<th>Address<th>Messages<th>{channels}</table>"
        f"<h2>Messages</h2>{messages}<h2>Headers</h2>{headers}"
    )
    return page("Messages", body)


def _channel(channel: dict[str, Any]) -> str:
    amqp = channel["bindings"].get("amqp")
    where = f"<code>{escape(amqp['exchange']['name'])}</code>" if amqp else "WebSocket"
    messages = ", ".join(f"<a href='#{escape(name)}'>{escape(name)}</a>" for name in channel["messages"])
    address = escape(channel["address"])
    return f"<tr><td>{where}<td><code>{address}</code><td>{messages}<td>{prose(channel['summary'])}"


def _message(message: dict[str, Any], schemas: dict[str, Any]) -> str:
    title = message["title"]
    contract = f"<p><code>{escape(name)}</code></p>" if (name := message.get("x-dataschema")) else ""
    return (
        f"<section id='{escape(title)}'><h3>{escape(title)}</h3><p>{prose(message['summary'])}</p>{contract}"
        f"{_schema('Schema', schemas[title])}{_schema('Example', message['examples'][0])}</section>"
    )


def _schema(title: str, schema: dict[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=2))
    return f"<details><summary>{escape(title)}</summary><pre>{text}</pre></details>"
