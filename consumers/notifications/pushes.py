"""Web push: encrypted for one browser (RFC 8291), signed for its push service (RFC 8292).

pywebpush encrypts and py-vapid signs; the request is ours, since the URL comes from whoever subscribed.
"""

import asyncio
import base64
import time
from http import HTTPStatus
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from py_vapid import Vapid
from pydantic_core import to_json
from pywebpush import WebPusher

from consumers.notifications.courier import Courier
from consumers.notifications.notice import Notice, Notices
from consumers.notifications.receipt import Receipt, refused
from consumers.runtime.patience import until_done
from storage import preferences
from storage.database import Database
from storage.documents import Browser

_TTL_S = 24 * 3600
_VALID_S = 12 * 3600  # of a signature; push services take 24 hours at most
_LONGEST_TEXT = 1_000  # what is encrypted has 3,993 bytes at most
_UNKNOWN = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


class Pushes:
    def __init__(self, database: Database, courier: Courier, notices: Notices, contact: str) -> None:
        self._database, self._courier, self._notices, self._contact = database, courier, notices, contact

    async def tell(self, notice: Notice, target: str, principal: str, delivery: str) -> Receipt:
        browser = await until_done(preferences.browser, self._database, target)
        if browser is None or browser.principal != principal:
            return refused("receiver-gone", f"there is no subscription {target}")
        said = {"id": delivery, "type": notice.type, "title": notice.title, "body": notice.text[:_LONGEST_TEXT]}
        said["url"] = self._notices.link(notice.job_id) if notice.job_id else ""
        headers = {"ttl": str(_TTL_S), "topic": delivery[:32], "content-encoding": "aes128gcm"}
        headers |= await self._signature(browser)
        body = await asyncio.to_thread(_encrypted, browser, to_json(said))
        answer = await self._courier.post(browser.endpoint, headers, body)
        unknown = answer.status in _UNKNOWN
        if unknown:
            await until_done(preferences.remove_browser, self._database, browser.id)
        return Receipt(
            taken=answer.taken,
            status=answer.status,
            error=answer.error,
            response=answer.text,
            duration_s=answer.duration_s,
            request={"url": browser.endpoint, "said": said},
            retry_after_s=answer.retry_after_s,
            refusal="receiver-gone" if unknown else "address-not-allowed" if answer.forbidden else None,
        )

    async def _signature(self, browser: Browser) -> dict[str, str]:
        private, _ = await push_key(self._database)
        at = urlsplit(browser.endpoint)
        claims = {"aud": f"{at.scheme}://{at.netloc}", "sub": self._contact, "exp": int(time.time()) + _VALID_S}
        signed: dict[str, str] = Vapid.from_pem(private.encode()).sign(claims)
        return {"authorization": signed["Authorization"]}


def _encrypted(browser: Browser, content: bytes) -> bytes:
    encoded = WebPusher({"endpoint": browser.endpoint, "keys": browser.keys}).encode(content)
    return bytes(encoded["body"])


async def push_key(database: Database) -> tuple[str, str]:
    """The key by which push services know this installation, private and public; made when there is none."""
    found = await until_done(preferences.push_key, database)
    if found is not None:
        return found
    made = Vapid()
    made.generate_keys()
    point = made.public_key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    public = base64.urlsafe_b64encode(point).rstrip(b"=").decode()
    return await until_done(preferences.keep_push_key, database, made.private_pem().decode(), public)
