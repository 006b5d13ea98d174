"""Reading a list page after page."""

from collections.abc import Callable, Iterator
from typing import Protocol, Self, TypeVar

import httpx


class _Page(Protocol):
    next: str | None

    @classmethod
    def model_validate_json(cls, json_data: bytes) -> Self: ...


P = TypeVar("P", bound=_Page)


def pages(request: Callable[..., httpx.Response], page_type: type[P], url: str | None) -> Iterator[P]:
    """Fetches each page when it is asked for."""
    while url is not None:
        page = page_type.model_validate_json(request("GET", url).content)
        yield page
        url = page.next
