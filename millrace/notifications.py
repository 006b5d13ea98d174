"""Webhooks and notifications in the HTTP client: `Client().webhooks`, `Client().notifications`."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import httpx
from pydantic import TypeAdapter

from millrace.paging import pages
from schemas.notifications import (
    Delivery,
    DeliveryPage,
    Notification,
    NotificationPage,
    Preferences,
    Recovered,
    Unread,
    Webhook,
    WebhookWithSecret,
)
from schemas.resources import Job

_WEBHOOKS, _NOTIFICATIONS = "/v1/webhooks", "/v1/notifications"
_LIST = TypeAdapter(list[Webhook])


class Webhooks:
    """Add, change, test, look at what was delivered and send it again. Raises what the client raises."""

    def __init__(self, request: Callable[..., httpx.Response]) -> None:
        self._request = request

    def add(self, url: str, topics: Sequence[str], description: str = "") -> WebhookWithSecret:
        """The answer has the secret, which is not shown again."""
        body = {"url": url, "topics": list(topics), "description": description}
        return WebhookWithSecret.model_validate_json(self._request("POST", _WEBHOOKS, json=body).content)

    def find(self) -> list[Webhook]:
        """Newest first."""
        return _LIST.validate_json(self._request("GET", _WEBHOOKS).content)

    def get(self, id: str) -> Webhook:
        return Webhook.model_validate_json(self._request("GET", f"{_WEBHOOKS}/{id}").content)

    def change(self, id: str, **changes: Any) -> Webhook:
        """`url`, `topics`, `description` or `enabled`."""
        return Webhook.model_validate_json(self._request("PATCH", f"{_WEBHOOKS}/{id}", json=changes).content)

    def remove(self, id: str) -> None:
        self._request("DELETE", f"{_WEBHOOKS}/{id}")

    def rotate(self, id: str, keep_old_s: int = 86_400) -> WebhookWithSecret:
        """A new secret; the one before signs as well for so many seconds."""
        answer = self._request("POST", f"{_WEBHOOKS}/{id}/rotate-secret", json={"keep_old_s": keep_old_s})
        return WebhookWithSecret.model_validate_json(answer.content)

    def test(self, id: str, *, wait: float | None = 20.0) -> Job:
        """Send a test event, as a job."""
        return Job.model_validate_json(self._request("POST", f"{_WEBHOOKS}/{id}/test", wait=wait).content)

    def deliveries(self, id: str, *, state: str | None = None, page_size: int = 100) -> Iterator[Delivery]:
        """Newest first; fetches page after page as you go on."""
        query = urlencode({"limit": page_size} | ({"state": state} if state else {}))
        for page in pages(self._request, DeliveryPage, f"{_WEBHOOKS}/{id}/deliveries?{query}"):
            yield from page.items

    def replay(self, id: str, delivery: str) -> Delivery:
        """Send one again. The answer's `resent_by` names the delivery that does so."""
        answer = self._request("POST", f"{_WEBHOOKS}/{id}/deliveries/{delivery}/replay")
        return Delivery.model_validate_json(answer.content)

    def recover(self, id: str, since: datetime) -> Recovered:
        """Send again whatever has failed since then."""
        answer = self._request("POST", f"{_WEBHOOKS}/{id}/recover", json={"since": since.isoformat()})
        return Recovered.model_validate_json(answer.content)


class Notifications:
    """What there is to know, and what you want to be told of. Raises what the client raises."""

    def __init__(self, request: Callable[..., httpx.Response]) -> None:
        self._request = request

    def find(self, *, unread: bool = False, page_size: int = 100) -> Iterator[Notification]:
        """Newest first; fetches page after page as you go on."""
        query = urlencode({"limit": page_size} | ({"unread": "true"} if unread else {}))
        for page in pages(self._request, NotificationPage, f"{_NOTIFICATIONS}?{query}"):
            yield from page.items

    def read(self, ids: Sequence[str] | None = None) -> int:
        """Mark these as read, or all. How many are left."""
        body = {} if ids is None else {"ids": list(ids)}
        answer = self._request("POST", f"{_NOTIFICATIONS}/read", json=body)
        return Unread.model_validate_json(answer.content).unread

    def preferences(self) -> Preferences:
        return Preferences.model_validate_json(self._request("GET", f"{_NOTIFICATIONS}/preferences").content)

    def prefer(self, preferences: Preferences) -> Preferences:
        body = preferences.model_dump(mode="json")
        answer = self._request("PUT", f"{_NOTIFICATIONS}/preferences", json=body)
        return Preferences.model_validate_json(answer.content)
