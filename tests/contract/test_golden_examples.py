"""What was ever published must still be read: every golden example, old versions included, through today's contracts.

An example is never edited. A new contract version brings a new file.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from consumers.__main__ import load_pool, pool_names
from consumers.runtime.worker_pool import WorkerPool
from docs.generate import documents, examples, render
from messaging import asyncapi
from schemas.contract import Contract
from schemas.envelope import Envelope
from schemas.kinds import contracts, kinds
from schemas.listening import SOCKET_REQUESTS, SOCKET_SAYINGS

EXAMPLES = Path(__file__).parent / "examples"
DOCUMENTS = documents()


def _name(contract: type[Contract]) -> str:
    return f"{contract.contract_name}.{contract.contract_version}"


def _example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text())
    return found


def test_every_contract_version_has_its_example_and_none_is_left_over() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == {_name(contract) for contract in contracts()}


@pytest.mark.parametrize("contract", contracts(), ids=_name)
def test_an_example_is_read_by_its_own_version_and_by_the_newest(contract: type[Contract]) -> None:
    body = json.dumps(_example(_name(contract))["body"]).encode()
    same = contract.read(contract.dataschema, body)
    assert json.loads(same.model_dump_json(exclude_unset=True)) == json.loads(body)
    newest = max(
        (c for c in contracts() if c.contract_name == contract.contract_name),
        key=lambda candidate: candidate.contract_version,
    )
    assert isinstance(newest.read(contract.dataschema, body), newest)


@pytest.mark.parametrize("contract", [c for c in contracts() if "headers" in _example(_name(c))], ids=_name)
def test_the_headers_of_an_example_are_an_envelope(contract: type[Contract]) -> None:
    headers = _example(_name(contract))["headers"]
    envelope = Envelope.from_headers(headers)
    assert envelope.dataschema == contract.dataschema
    assert envelope.headers() == headers


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_published_documents_say_what_the_code_says(path: Path) -> None:
    assert path.exists(), "run `make docs` and commit the result"
    assert path.read_text() == render(DOCUMENTS[path]), "a contract changed: run `make docs` and look at the diff"


def test_no_published_schema_is_left_over() -> None:
    folder = Path(__file__).parents[2] / "docs/schemas"
    assert {path.name for path in folder.glob("*.json")} == {f"{_name(contract)}.json" for contract in contracts()}


def test_every_kind_has_exactly_one_handler_and_a_test() -> None:
    pools = [pool for pool in map(load_pool, pool_names()) if isinstance(pool, WorkerPool)]
    handled = [handler.kind.name for pool in pools for handler in pool.handlers()]
    assert sorted(handled) == sorted(kinds())
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    for kind in kinds():
        assert f'"{kind}"' in tests, f"no test submits a {kind}"


def test_what_is_said_on_a_socket_fits_what_the_document_says_of_it() -> None:
    messages = asyncapi.document("0", examples())["components"]["messages"]
    for message in (*SOCKET_REQUESTS, *SOCKET_SAYINGS):
        [example] = messages[message.__name__]["examples"]
        assert message.model_validate(example["payload"])


def test_asyncapi_is_valid() -> None:
    """Every reference in the document leads somewhere."""
    document = asyncapi.document("0", examples())

    def refs(node: Any) -> list[str]:
        if isinstance(node, dict):
            return [v for k, v in node.items() if k == "$ref"] + [r for v in node.values() for r in refs(v)]
        return [r for item in node for r in refs(item)] if isinstance(node, list) else []

    for ref in refs(document):
        found: Any = document
        for part in ref.removeprefix("#/").split("/"):
            found = found[part]
