"""Datasets in the HTTP client: `Client().datasets`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from pydantic import TypeAdapter

from millrace.paging import pages
from schemas.catalog import Dataset, DatasetPage, DatasetSummary, DatasetVersion
from schemas.profile import DatasetProfile
from schemas.resources import Job

_PATH = "/v1/datasets"
_CHUNK_BYTES = 1024 * 1024
_VERSIONS = TypeAdapter(list[DatasetVersion])


class Datasets:
    """Upload, look at, profile and delete. Datasets are named by id or by name. Raises what the client raises."""

    def __init__(self, request: Callable[..., httpx.Response]) -> None:
        self._request = request

    def add(
        self,
        file: Path,
        name: str | None = None,
        *,
        hints: dict[str, str] | None = None,
        on_sent: Callable[[int], None] = lambda _bytes: None,
        wait: float | None = None,
    ) -> Job:
        """Upload a file and ingest it, as a new version when the name is known. The name defaults to the file's.
        `hints` say how to read it: format, encoding, delimiter, header, sheet."""
        query = urlencode({"filename": file.name, **(hints or {})})
        url = f"{_PATH}/{quote(name or file.name.split('.')[0], safe='')}?{query}"
        headers = {"Content-Length": str(file.stat().st_size), "Content-Type": "application/octet-stream"}
        answer = self._request("PUT", url, headers=headers, content=_chunks(file, on_sent), wait=wait)
        return Job.model_validate_json(answer.content)

    def find(self, *, page_size: int = 100) -> Iterator[DatasetSummary]:
        """Last changed first; fetches page after page as you go on."""
        for page in pages(self._request, DatasetPage, f"{_PATH}?limit={page_size}"):
            yield from page.items

    def get(self, dataset: str, version: str | None = None) -> Dataset:
        return Dataset.model_validate_json(self._get(dataset, "", version=version))

    def versions(self, dataset: str) -> list[DatasetVersion]:
        """Newest first."""
        return _VERSIONS.validate_json(self._get(dataset, "/versions"))

    def preview(self, dataset: str, version: str | None = None) -> dict[str, Any]:
        """`{"columns": [...], "rows": [[...], ...]}`."""
        found: dict[str, Any] = httpx.Response(200, content=self._get(dataset, "/preview", version=version)).json()
        return found

    def profile(
        self, dataset: str, *, version: str | None = None, target: str | None = None, wait: float | None = None
    ) -> Job:
        """Start a profile."""
        body = {"version": version, "target": target}
        answer = self._request("POST", f"{_PATH}/{quote(dataset, safe='')}/profile", json=body, wait=wait)
        return Job.model_validate_json(answer.content)

    def profiled(self, dataset: str, *, version: str | None = None, target: str | None = None) -> DatasetProfile:
        return DatasetProfile.model_validate_json(self._get(dataset, "/profile", version=version, target=target))

    def report(self, dataset: str, *, version: str | None = None, target: str | None = None) -> bytes:
        """The profile as a page that needs no network."""
        return self._get(dataset, "/profile.html", version=version, target=target)

    def delete(self, dataset: str) -> None:
        self._request("DELETE", f"{_PATH}/{quote(dataset, safe='')}")

    def _get(self, dataset: str, what: str, **asked: str | None) -> bytes:
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return self._request("GET", f"{_PATH}/{quote(dataset, safe='')}{what}?{query}").content


def _chunks(file: Path, on_sent: Callable[[int], None]) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            yield chunk
            on_sent(len(chunk))
