"""How commands speak: to people on a terminal, as JSON to programs, and to the gateway that they are about."""

import json
import os
import sys
from typing import Annotated

import typer
from pydantic import BaseModel, JsonValue
from rich.console import Console

from millrace.client import Client
from millrace.stack import commands
from millrace.stack.errors import StackError
from millrace.stack.settings import StackSettings

# Output that is not for a terminal has no width: a table must not be cut to one.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def say(message: str) -> None:
    console.print(message, markup=False)


def print_json(value: BaseModel | object) -> None:
    data = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    text = json.dumps(data, indent=2, ensure_ascii=False)
    console.print_json(text) if console.is_terminal else typer.echo(text)


def json_object(text: str) -> dict[str, JsonValue]:
    """The object in `text`, or on standard input for `-`. Raises StackError."""
    try:
        value = json.loads(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise StackError(f"the parameters are not JSON: {error}") from None
    if not isinstance(value, dict):
        raise StackError("the parameters must be a JSON object, like '{\"payload\": {}}'")
    return value


def open_client() -> Client:
    """For the gateway that the environment names, else for the stack that runs here."""
    url, key = os.environ.get("MILLRACE_URL"), os.environ.get("MILLRACE_API_KEY")
    record = commands.running(StackSettings()) if url is None else None
    return Client(url or (record.api_url if record else None), key or (record.api_key if record else None))
