"""Waiting for what will pass: the broker, the store or the blobs are away, and what we hold must not be lost."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from messaging.publisher import PublishFailed
from storage.blobs import BlobUnavailable
from storage.database import StoreUnavailable

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

PASSING = (PublishFailed, StoreUnavailable, BlobUnavailable)


async def until_done(operation: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `operation` until it succeeds, however long the parts it needs are away. Other exceptions pass through.

    Giving up would leave a message unsettled for as long as this process holds its connection; when that connection
    is lost too, the caller is cancelled and the broker delivers the message again.
    """
    try:
        return await operation(*args, **kwargs)
    except PASSING as error:
        _say(error)
    result: T = await _retrying(operation, *args, **kwargs)
    return result


def _before_sleep(state: RetryCallState) -> None:
    if state.outcome is not None:
        _say(state.outcome.exception())


def _say(error: BaseException | None) -> None:
    log.warning("waiting", error=str(error))


_retrying = AsyncRetrying(
    retry=retry_if_exception_type(PASSING),
    wait=wait_exponential_jitter(multiplier=0.1, max=5),
    before_sleep=_before_sleep,
)
