"""What routes are given: the parts made by the composition root, and who is asking."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.requests import HTTPConnection
from starlette.types import Scope

from gateway.cancellation import Cancellation
from gateway.inquiry import Inquiry
from gateway.keys import KeyRing, well_formed
from gateway.problems import ProblemError
from gateway.settings import GatewaySettings
from gateway.submission import Submission
from gateway.topics import Topics
from gateway.view import JobView
from gateway.watch import StoreWatch
from messaging.bindings import Bindings
from messaging.inspection import Inspector
from messaging.publisher import Publisher
from producers.lint import LintSettings
from storage.blobs import BlobStore
from storage.database import Database
from storage.feed import FeedReader
from storage.partial_files import PartialFiles

SUBPROTOCOL = "millrace"

_header_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="The operator's API key")
_bearer_key = HTTPBearer(auto_error=False, description="The same key as a bearer token")


@dataclass(frozen=True)
class Parts:
    settings: GatewaySettings
    keys: KeyRing
    publisher: Publisher
    inspector: Inspector
    bindings: Bindings
    database: Database
    store: StoreWatch
    feed: FeedReader
    view: JobView
    blobs: BlobStore
    uploads: PartialFiles
    submission: Submission
    cancellation: Cancellation
    inquiry: Inquiry
    lint: LintSettings
    topics: Topics
    closing: asyncio.Event
    """Set when the gateway stops: who streams shall say so, and end."""

    def say_goodbye(self) -> None:
        self.closing.set()
        self.topics.wake_everyone()
        self.feed.wake_everyone()


async def parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found


async def principal(
    request: Request,
    _key: Annotated[str | None, Security(_header_key)],
    _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer_key)],
) -> str:
    """Who is asking; the parameters only document the ways to say it. Raises ProblemError."""
    return authenticated(request)


def authenticated(connection: HTTPConnection) -> str:
    """The principal of the key in `X-API-Key`, else of the bearer token; or of the one that a browser offers, which
    can set no headers on a WebSocket, as its second subprotocol. Raises ProblemError."""
    given = connection.headers.get("x-api-key", "")
    if not given:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else _offered(connection.scope)
    keys: KeyRing = connection.app.state.parts.keys
    found = keys.principal(given) if given else None
    if found is None:
        raise ProblemError("unauthenticated", _why(given), headers={"WWW-Authenticate": 'Bearer realm="millrace"'})
    return found


def _offered(scope: Scope) -> str:
    offered: list[str] = scope.get("subprotocols", [])
    return offered[1] if len(offered) == 2 and offered[0] == SUBPROTOCOL else ""


def _why(given: str) -> str:
    if not given:
        return "send the API key as X-API-Key or as Authorization: Bearer"
    return "this key is not known here" if well_formed(given) else "this is not a key of ours, or it is cut off"


PartsDependency = Annotated[Parts, Depends(parts)]
Principal = Annotated[str, Depends(principal)]
