"""Programs in the HTTP client: `Client().code`."""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from schemas.code import CodeValidated
from schemas.execution import Packages, Stream
from schemas.resources import Job


class Programs:
    """Run programs in the sandbox, and fetch what they left. Raises what the client raises."""

    def __init__(self, request: Callable[..., httpx.Response]) -> None:
        self._request = request

    def run(
        self,
        code: str,
        *,
        stdin: str = "",
        files: Mapping[str, Path | bytes] | None = None,
        packages: Packages | str = Packages.PLAIN,
        wait: float | None = None,
        **limits: float,
    ) -> Job:
        """`files` by the path at which the program shall find each; `limits` are those of `code.run` that are not
        left to their defaults, such as `timeout_s`."""
        given = {path: {"content": _encoded(content)} for path, content in (files or {}).items()}
        body: dict[str, Any] = {"code": code, "stdin": stdin, "files": given, "packages": packages, **limits}
        return Job.model_validate_json(self._request("POST", "/v1/code/runs", json=body, wait=wait).content)

    def validate(self, code: str, packages: Packages | str = Packages.PLAIN) -> CodeValidated:
        body = {"code": code, "packages": packages}
        return CodeValidated.model_validate_json(self._request("POST", "/v1/code/validate", json=body).content)

    def output(self, id: str, stream: Stream) -> str:
        """All that was kept of what the program of a job wrote."""
        return self._request("GET", f"/v1/jobs/{id}/output/{stream.value}").text

    def artifact(self, id: str, name: str) -> bytes:
        """A file that the program of a job left."""
        return self._request("GET", f"/v1/jobs/{id}/artifacts/{quote(name)}").content


def _encoded(content: Path | bytes) -> str:
    return base64.b64encode(content.read_bytes() if isinstance(content, Path) else content).decode()
