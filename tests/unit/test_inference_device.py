"""The pool when its device's child process dies. That process is real, and what it computes is not."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from consumers.inference.registered import Registry
from consumers.inference.resources import Inference, Wanted, open_inference
from consumers.inference.settings import InferenceSettings
from consumers.inference.text_embed import embed_text
from consumers.runtime.verdicts import HaltConsumer, Reject
from schemas.jobs.text_embed import TEXT_EMBED, EmbedOptions, EmbedText, TextEmbedded
from schemas.texts import DEFAULT_MODEL
from tests.support.engines import DEADLY
from tests.support.inference import task
from tests.support.waiting import eventually

NO_REGISTRY = cast(Registry, None)
ENGINE = "tests.support.engines:ToyEngine"


@pytest.fixture
async def inference(tmp_path: Path) -> AsyncIterator[Inference]:
    async with open_inference(InferenceSettings(models_dir=tmp_path), NO_REGISTRY, ENGINE) as opened:
        yield opened


async def run(inference: Inference, *inputs: str) -> list[list[float]]:
    params = EmbedText(inputs=list(inputs), options=EmbedOptions(normalize=False))
    result = await embed_text.run(task(params), inference)
    assert isinstance(result, TextEmbedded)
    return result.outputs


async def test_a_child_killed_in_the_middle_of_a_batch_costs_no_job(inference: Inference) -> None:
    await run(inference, "warm")
    before = inference.device.pid
    assert before is not None
    async with inference.models.use(Wanted(TEXT_EMBED.name, DEFAULT_MODEL)) as model:
        os.kill(before, signal.SIGSTOP)  # so that the batch cannot end before its process does
        jobs = [asyncio.create_task(run(inference, "a" * n, "b")) for n in range(1, 40)]
        await eventually(partial(asyncio.to_thread, lambda: model.running))
        os.kill(before, signal.SIGKILL)
    assert await asyncio.gather(*jobs) == [[[97, n], [98, 1]] for n in range(1, 40)]
    assert inference.device.pid not in (None, before)


async def test_a_text_that_kills_the_child_fails_alone(inference: Inference) -> None:
    texts = ["fine", "also fine", f"bad {DEADLY}", "fine too"]
    *good, bad = await asyncio.gather(
        *(run(inference, text) for text in (*texts[:2], texts[3], texts[2])), return_exceptions=True
    )
    assert good == [[[102, 4]], [[97, 9]], [[102, 8]]]
    assert isinstance(bad, Reject)
    assert bad.type == "input-unusable"
    assert bad.detail.startswith("/inputs/0: the device's process was killed by SIGKILL")
    assert await run(inference, "again") == [[97, 5]]


async def test_a_pool_without_a_device_halts(tmp_path: Path) -> None:
    with pytest.raises(HaltConsumer, match="no_such_engine"):
        async with open_inference(InferenceSettings(models_dir=tmp_path), NO_REGISTRY, "no_such_engine:E"):
            pass


def test_the_worker_does_not_import_what_computes() -> None:
    looks = "import sys, consumers.inference as i, consumers.inference.resources; i.pool.handlers()"
    heavy = "{'torch', 'transformers', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{looks}; assert not {heavy}"], check=True)
