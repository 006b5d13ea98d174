"""`millrace dlq` as typed, against a gateway on a socket."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Deployment
from tests.integration.test_dead_letters import letter, store
from tests.support.processes import running
from tests.support.served import served_gateway

GROUP = "feedbeef00000001"


class Shell:
    def __init__(self, url: str, key: str) -> None:
        self.environment = {**os.environ, "MILLRACE_URL": url, "MILLRACE_API_KEY": key, "COLUMNS": "200"}

    async def dlq(self, *arguments: str, status: int = 0, typed: str = "") -> str:
        """What `millrace dlq ...` printed; on standard error when it failed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "millrace", "dlq", *arguments),
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate(typed.encode())
        assert process.returncode == status, (output + errors).decode()
        assert b"Traceback (most recent" not in errors
        return (output if status == 0 else output + errors).decode()

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.dlq(*arguments, "--json"))


@pytest.fixture
async def shell(deployment: Deployment) -> AsyncIterator[Shell]:
    async with running("ledger", "diagnostics", "operations"), served_gateway() as client:
        yield Shell(str(client.base_url), client.headers["x-api-key"])


async def test_letters_are_found_and_shown(deployment: Deployment, shell: Shell) -> None:
    now = datetime.now(UTC)
    mine = letter("error", error_detail="[red]no markup[/red]", died_at=now - timedelta(days=1))
    await store(deployment, mine, *[letter(fingerprint="feedbeef00000002", died_at=now) for _ in range(3)])
    listed = await shell.dlq("list", "--group", GROUP)
    assert mine.id in listed
    assert "[red]no markup" in listed
    groups = await shell.dlq("groups")
    assert "4 new since version 1.0" in groups
    assert groups.index("feedbeef00000002") < groups.index(GROUP), "the largest first"
    yesterday = (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S")
    assert [item["id"] for item in await shell.json("list", "--before", yesterday)] == [mine.id]
    assert len(await shell.json("list", "-q", "ASKED TO raise")) == 3
    shown = await shell.dlq("show", mine.id)
    assert '"failure": "error"' in shown
    assert (await shell.json("show", mine.id))["body_encoding"] == "utf-8"
    assert "no dead letter" in await shell.dlq("show", "0" * 32, status=1)


async def test_a_group_is_mended_and_replayed(deployment: Deployment, shell: Shell) -> None:
    mine = letter("error", attempts=[])
    await store(deployment, mine, *[letter() for _ in range(4)])
    refused = await shell.dlq("edit", mine.id, "--params", '{"delay_s": -1}', "--yes", status=1)
    assert "/params/delay_s" in refused
    rehearsed = await shell.dlq("edit", mine.id, "--params", "{}", "--dry-run")
    assert '+  "failure": "none"' in rehearsed
    assert await shell.dlq("edit", mine.id, "--params", "-", status=1, typed="[]")
    await shell.dlq("edit", mine.id, "--params", "{}", "--yes")
    assert "5 open letters in 1 group" in await shell.dlq("replay", "--group", GROUP, "--dry-run")
    assert "Aborted" in await shell.dlq("replay", "--group", GROUP, status=1)
    assert "say which letters" in await shell.dlq("replay", status=1)
    replayed = await shell.dlq("replay", "--group", GROUP, "--canary", "1", "--yes")
    assert "5 of 5 letters replayed" in replayed
    assert (await shell.json("replay", "--all"))["count"] == 0
    assert await shell.json("list") == []
    audited = await shell.json("audit")
    assert [entry["action"] for entry in audited] == ["replay-ended", "replay-started", "edited"]
    assert "replay-started" in await shell.dlq("audit")


async def test_an_editor_mends_a_letter(deployment: Deployment, shell: Shell, tmp_path: Path) -> None:
    mine = letter("error")
    await store(deployment, mine)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/"error"/"none"/\' "$1"\n')
    editor.chmod(0o755)
    shell.environment |= {"EDITOR": str(editor), "VISUAL": ""}
    printed = await shell.dlq("edit", mine.id, typed="y\n")
    assert '-  "failure": "error"' in printed
    assert (await shell.json("show", mine.id))["edit"]["params"]["failure"] == "none"
    assert "nothing was changed" in await shell.dlq("edit", mine.id, status=1)


async def test_letters_are_discarded_with_a_reason(deployment: Deployment, shell: Shell) -> None:
    mine = [letter() for _ in range(3)]
    await store(deployment, *mine, letter(fingerprint="feedbeef00000002"))
    assert "Missing option" in await shell.dlq("discard", mine[0].id, "--yes", status=2)
    discarded = await shell.dlq("discard", mine[0].id, mine[1].id, "--because", "made by mistake", "--yes")
    assert "2 letters discarded" in discarded
    rest = ("discard", "--group", GROUP, "--because", "the customer left", "--yes")
    assert await shell.json(*rest) == {"count": 1, "dry_run": False}
    assert "made by mistake" in await shell.dlq("show", mine[1].id)
    assert len(await shell.json("list")) == 1
