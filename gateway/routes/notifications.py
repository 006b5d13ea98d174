"""Notifications: what a person finds in the application, live, and what they want to be told of."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from gateway import cursors
from gateway.bindings import follow, forget
from gateway.body import LimitedRoute
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.openapi import PROBLEM_RESPONSES
from gateway.paging import Behind, Limit, paged
from gateway.problems import ProblemError
from gateway.streaming import CLOSING, KEEP_ALIVE, KEEP_ALIVE_S, EventStream
from producers.notifications import rules
from schemas.notifications import (
    Notification,
    NotificationPage,
    Preferences,
    PushKey,
    PushRequest,
    PushSubscription,
    ReadRequest,
    Unread,
    preferences_of,
)
from storage import inbox, preferences
from storage.database import StoreUnavailable
from storage.documents import Browser, Told
from storage.inbox import inbox_of

router = APIRouter(
    prefix="/v1/notifications", tags=["notifications"], responses=PROBLEM_RESPONSES, route_class=LimitedRoute
)

_LOOK_EVERY_S = 3.0  # without having been woken
_AT_ONCE = 1_000
# Two workers may store theirs a little out of order: so a stream looks back, and sends each once.
_LOOK_BACK = timedelta(seconds=5)


@router.get("", response_model=NotificationPage)
async def list_notifications(
    principal: Principal,
    parts: PartsDependency,
    limit: Limit = 50,
    cursor: str | None = None,
    unread: Annotated[bool, Query(description="Only what was not read")] = False,
) -> Response:
    """Newest first, with how many are unread. Kept for 30 days."""
    query = {"unread": "true" if unread else None}

    def find(count: int, behind: Behind) -> Coroutine[Any, Any, list[Told]]:
        return inbox.page(parts.database, principal, count, behind, unread=unread)

    found, following = await paged(parts, router.prefix, query, limit, cursor, find, lambda told: told.created_at)
    count = await parts.store.reading(inbox.unread(parts.database, principal))
    page = NotificationPage(items=[_shown(told) for told in found], unread=count, next=following)
    return Response(page.model_dump_json(), media_type="application/json")


@router.post("/read", response_model=Unread)
async def mark_read(asked: ReadRequest, principal: Principal, parts: PartsDependency) -> Unread:
    """Mark some as read, or all. How many are left."""
    await inbox.read(parts.database, principal, asked.ids, datetime.now(UTC))
    return Unread(unread=await parts.store.reading(inbox.unread(parts.database, principal)))


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def stream(request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Notifications as they arrive, as server-sent events, from now on or from behind `Last-Event-ID`."""
    known = request.headers.get("last-event-id", "").strip()
    after = cursors.decode(parts.keys.cursor_secret, _stream_of(principal), known) if known else None
    return EventStream(_events(parts, principal, after))


@router.get("/preferences", response_model=Preferences)
async def get_preferences(principal: Principal, parts: PartsDependency) -> Preferences:
    """What you are told of, by channel."""
    said = await parts.store.reading(preferences.of(parts.database, [principal]))
    return preferences_of(said.get(principal))


@router.put("/preferences", response_model=Preferences)
async def put_preferences(asked: Preferences, principal: Principal, parts: PartsDependency) -> Preferences:
    """Say what you are told of. A channel that is left out goes back to what is usual for it."""
    before = (await rules(parts.database, [principal])).preferences.get(principal)
    await follow(parts, asked.topics)
    await preferences.keep(parts.database, principal, asked.model_dump(mode="json"), datetime.now(UTC))
    if before is not None:
        await forget(parts, before.topics)
    return asked


@router.get("/push-key", response_model=PushKey)
async def get_push_key(_principal: Principal, parts: PartsDependency) -> PushKey:
    """What a browser needs to subscribe: `pushManager.subscribe({applicationServerKey: key, ...})`."""
    found = await parts.store.reading(preferences.push_key(parts.database))
    if found is None:
        raise ProblemError("not-found", "there is no key yet: the notifications pool makes it when it first starts")
    return PushKey(key=found[1])


@router.get("/push-subscriptions", response_model=list[PushSubscription])
async def list_push_subscriptions(principal: Principal, parts: PartsDependency) -> list[PushSubscription]:
    """Browsers that are told."""
    found = await parts.store.reading(preferences.browsers(parts.database, [principal]))
    return [_subscription(browser) for browser in found]


@router.post("/push-subscriptions", status_code=201, response_model=PushSubscription)
async def add_push_subscription(asked: PushRequest, principal: Principal, parts: PartsDependency) -> PushSubscription:
    """Add a browser. Its `PushSubscription`, as JSON, is the body; what it is told of stands in the preferences."""
    made = Browser(
        id=f"push_{hashlib.sha256(f'{principal} {asked.endpoint}'.encode()).hexdigest()[:32]}",
        principal=principal,
        endpoint=asked.endpoint,
        keys=asked.keys.model_dump(),
        created_at=datetime.now(UTC),
    )
    await preferences.add_browser(parts.database, made)
    return _subscription(made)


@router.delete("/push-subscriptions/{subscription}", status_code=204)
async def remove_push_subscription(subscription: str, principal: Principal, parts: PartsDependency) -> Response:
    """Remove a browser."""
    found = await parts.store.reading(preferences.browser(parts.database, subscription))
    if found is None or found.principal != principal:
        raise ProblemError("not-found", f"there is no subscription {subscription!r}")
    await preferences.remove_browser(parts.database, subscription)
    return Response(status_code=204)


async def _events(parts: Parts, principal: str, after: tuple[datetime, str] | None) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    begin = after[0] if after else datetime.now(UTC)
    since, sent = begin, dict[str, datetime]()
    async with parts.feed.listening(inbox_of(principal)) as arrived:
        quiet_since = loop.time()
        yield ": listening\n\n"
        while not parts.closing.is_set():
            found = await _new(parts, principal, since)
            for told in found:
                if told.id not in sent and (after is None or (told.created_at, told.id) > after):
                    yield _event(parts, principal, told)
                    quiet_since = loop.time()
                sent[told.id] = told.created_at
            if len(found) == _AT_ONCE:
                since = found[-1].created_at
                continue
            if found:
                since = max(begin, found[-1].created_at - _LOOK_BACK)
                sent = {told: at for told, at in sent.items() if at >= since}
            await _woken(arrived)
            if loop.time() - quiet_since >= KEEP_ALIVE_S:
                yield KEEP_ALIVE
                quiet_since = loop.time()
    yield CLOSING


async def _woken(arrived: asyncio.Event) -> None:
    """Or not, while Redis is away."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LOOK_EVERY_S):
            await arrived.wait()
    arrived.clear()


async def _new(parts: Parts, principal: str, since: datetime) -> list[Told]:
    """A stream that has begun outlives the store's absence."""
    with suppress(StoreUnavailable):
        return await parts.store.reading(inbox.since(parts.database, principal, since, _AT_ONCE))
    return []


def _event(parts: Parts, principal: str, told: Told) -> str:
    known = cursors.encode(parts.keys.cursor_secret, _stream_of(principal), told.created_at, told.id)
    return f"id: {known}\nevent: notification\ndata: {_shown(told).model_dump_json()}\n\n"


def _stream_of(principal: str) -> str:
    return f"notifications of {principal}"


def _shown(told: Told) -> Notification:
    return Notification.model_validate(told.model_dump())


def _subscription(browser: Browser) -> PushSubscription:
    return PushSubscription(id=browser.id, endpoint=browser.endpoint, created_at=browser.created_at)
