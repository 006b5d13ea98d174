"""Writes what is made from the code: the OpenAPI and AsyncAPI documents and a JSON Schema per contract version.

Run by `make docs`. A test compares the files with what the code says, so that a changed contract cannot go unseen.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateway.app import create_app
from gateway.settings import GatewaySettings
from messaging import asyncapi
from schemas.kinds import contracts
from schemas.profile import DatasetProfile

ROOT = Path(__file__).parent


def documents() -> dict[Path, Any]:
    """Every generated file with its content."""
    found: dict[Path, Any] = {
        ROOT / "api/openapi.json": create_app(GatewaySettings()).openapi(),
        ROOT / "api/asyncapi.json": asyncapi.document(version("millrace"), examples()),
    }
    found[ROOT.parent / "schemas/examples.json"] = examples()
    found[ROOT / "api/profile.schema.json"] = DatasetProfile.model_json_schema()
    for contract in contracts():
        path = ROOT / f"schemas/{contract.contract_name}.{contract.contract_version}.json"
        found[path] = {"$id": contract.dataschema, **contract.model_json_schema()}
    return found


def examples() -> dict[str, Any]:
    """The golden example of each message, for those who are installed without the tests."""
    folder = ROOT.parent / "tests/contract/examples"
    golden = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return {
        name: {"headers": example["headers"], "payload": example["body"]}
        for name, example in golden.items()
        if "headers" in example
    }


def render(content: Any) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def main() -> None:
    for path, content in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(content))
        print(path.relative_to(ROOT.parent))


if __name__ == "__main__":
    main()
