"""Jobs of the inference pool in this process, and a registry of files in memory."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from consumers.inference.registered import Registered, Registry
from consumers.runtime.handler import Task
from schemas.contract import Contract
from schemas.envelope import Envelope
from schemas.files import StoredFile

OWNER = "owner"


class Shelf(Registry):
    """Everybody's."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.version = "0" * 12

    def add(self, name: str, content: bytes) -> None:
        self.files[f"registry:{name}"] = content

    async def find(self, principal: str, reference: str) -> Registered:
        content = self.files[reference]
        file = StoredFile(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        return Registered(reference, self.version, file, principal)

    async def content(self, found: Registered) -> bytes:
        return self.files[found.name]


def task(params: Contract) -> Task[Any]:
    envelope = Envelope(
        id="1", source="test", type=f"millrace.{params.contract_name}", time=datetime.now(UTC),
        dataschema=params.dataschema, job_id="1", kind=params.contract_name, principal=OWNER,
    )  # fmt: skip
    return Task(params, envelope, _no_progress)


async def _no_progress(_share: float, _what: str, _eta_s: float | None = None) -> None: ...
