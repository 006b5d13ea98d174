"""OpenAI's own client, on our gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from tests.conftest import Deployment
from tests.support.processes import running
from tests.support.served import served_gateway
from tests.support.writers import save, tiny_llama

CHAT: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "temperature": 0,
    "max_completion_tokens": 24,
}


@asynccontextmanager
async def connected(*pools: str) -> AsyncIterator[tuple[AsyncOpenAI, httpx.AsyncClient]]:
    async with running("ledger", *pools), served_gateway() as client:
        url = f"{client.base_url}/openai/v1"
        async with AsyncOpenAI(
            base_url=url,
            api_key=client.headers["X-API-Key"],
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False, timeout=90),
        ) as official:
            yield official, client


@pytest.fixture(autouse=True)
def models(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_GENERATION_DEVICE", "cpu")
    monkeypatch.setenv("MILLRACE_GENERATION_THREADS", "1")
    save(tiny_llama(max_position_embeddings=4096), tmp_path / "models" / "tiny", endless=True)


async def test_a_chat_is_answered_whole_and_in_pieces() -> None:
    async with connected("generation") as (official, client):
        whole = await official.chat.completions.create(**CHAT)
        assert whole.choices[0].message.content
        assert whole.usage is not None
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        text, finish, usage = "", None, None
        async for chunk in await official.chat.completions.create(
            **CHAT, stream=True, stream_options={"include_usage": True}
        ):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
        assert (text, finish) == (whole.choices[0].message.content, whole.choices[0].finish_reason)
        assert usage == whole.usage

        drawn = {**CHAT, "temperature": 1.3, "seed": 3, "stop": "e", "extra_body": {"top_k": 40}}
        one, other = [await official.chat.completions.create(**drawn) for _ in range(2)]
        assert one.choices[0].message.content == other.choices[0].message.content
        assert "e" not in (one.choices[0].message.content or "")

        with pytest.raises(openai.NotFoundError) as missing:
            await official.chat.completions.create(**{**CHAT, "model": "none"}, stream=True)
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError) as long:
            await official.chat.completions.create(**{**CHAT, "max_completion_tokens": 4_090})
        assert (long.value.code, long.value.param) == ("context_length_exceeded", "messages")

        left = await official.chat.completions.create(**{**CHAT, "max_completion_tokens": 4_000}, stream=True)
        job_id = (await anext(left)).id.removeprefix("chatcmpl-")
        await left.close()
        assert (await client.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=30"})).json()["status"] == "cancelled"


async def test_what_cannot_be_done_is_refused_by_name() -> None:
    async with connected() as (official, client):
        for given, param in (
            ({"n": 2}, "n"),
            ({"tools": [{"type": "function"}]}, "tools"),
            ({"temperature": 3}, "temperature"),
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "judge", "content": "Hi"}]}, "messages[0].role"),
            ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
            ({"stop": ["x"] * 9}, "stop"),
        ):
            with pytest.raises(openai.UnprocessableEntityError) as refused:
                await official.chat.completions.create(**{**CHAT, **given})
            assert refused.value.param == param
        with pytest.raises(openai.AuthenticationError) as unknown:
            await official.with_options(api_key="nobody").models.list()
        assert unknown.value.code == "invalid_api_key"
        assert (await client.get("/openai/v1/models/none")).json()["error"]["type"] == "invalid_request_error"


async def test_vectors_and_names_of_models() -> None:
    async with connected("inference", "generation") as (official, _):
        texts = ["The mill race feeds the wheel.", "Water"]
        packed = await official.embeddings.create(model="all-minilm-l6-v2", input=texts)
        plain = await official.embeddings.create(model="all-minilm-l6-v2", input=texts, encoding_format="float")
        assert [len(each.embedding) for each in packed.data] == [384, 384]
        for one, other in zip(packed.data, plain.data, strict=True):
            assert one.embedding == pytest.approx(other.embedding, abs=1e-7)
        assert packed.usage.prompt_tokens > 4
