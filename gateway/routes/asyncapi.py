"""The AsyncAPI document, and a page that shows it."""

import json
from functools import cache
from html import escape
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from gateway.pages import page, prose
from messaging.asyncapi import document

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
    return document(version("millrace"))


@cache
def _page() -> str:
    found = _document()
    channels = "".join(_channel(channel) for channel in found["channels"].values())
    messages = "".join(
        _message(message, found["components"]["schemas"]) for message in found["components"]["messages"].values()
    )
    headers = _schema("Headers of every message", found["components"]["schemas"]["Envelope"])
    body = (
        f"<p>{prose(found['info']['description'])}</p>"
        "<p>The document: <a href='/asyncapi.json'>asyncapi.json</a></p>"
        f"<h2>Channels</h2><table><tr><th>Exchange<th>Routing key<th>Message<th>{channels}</table>"
        f"<h2>Messages</h2>{messages}<h2>Headers</h2>{headers}"
    )
    return page("Messages on the broker", body)


def _channel(channel: dict[str, Any]) -> str:
    exchange = channel["bindings"]["amqp"]["exchange"]["name"]
    message = next(iter(channel["messages"]))
    return (
        f"<tr><td><code>{escape(exchange)}</code><td><code>{escape(channel['address'])}</code>"
        f"<td><a href='#{escape(message)}'>{escape(message)}</a><td>{escape(channel['summary'])}"
    )


def _message(message: dict[str, Any], schemas: dict[str, Any]) -> str:
    title = message["title"]
    return (
        f"<section id='{escape(title)}'><h3>{escape(title)}</h3><p>{prose(message['summary'])}</p>"
        f"<p><code>{escape(message['x-dataschema'])}</code></p>{_schema('Schema', schemas[title])}</section>"
    )


def _schema(title: str, schema: dict[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=2))
    return f"<details><summary>{escape(title)}</summary><pre>{text}</pre></details>"
