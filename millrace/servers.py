"""The servers that commands speak to past the gateway."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from millrace.stack import commands
from millrace.stack.errors import StackError
from millrace.stack.settings import StackSettings


def server(variable: str) -> str:
    """The URL in the environment, else that of the stack that runs here."""
    url = known(variable)
    if url is None:
        raise StackError(f"set {variable}, or start the stack with `millrace up`")
    return url


def known(variable: str) -> str | None:
    record = commands.running(StackSettings())
    return os.environ.get(variable) or (record.environment.get(variable) if record else None)


@contextmanager
def server_errors() -> Iterator[None]:
    """Whatever the broker or the store has against it, in one line."""
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    try:
        yield
    except StackError:
        raise
    except Exception as error:
        raise StackError(f"{type(error).__name__}: {error}") from error


def management_url() -> str | None:
    """Of the management API of the broker that `RABBITMQ_URL` names, when it is known."""
    record = commands.running(StackSettings())
    if given := os.environ.get("RABBITMQ_MANAGEMENT_URL"):
        return given
    if record is None or known("RABBITMQ_URL") != record.environment.get("RABBITMQ_URL"):
        return None
    return next((service.management_url for service in record.services if service.management_url), None)
