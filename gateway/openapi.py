"""What FastAPI cannot see by itself: request bodies read by hand, and problem documents."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from schemas.kinds import AnyKind, kinds
from schemas.problems import MEDIA_TYPE, PROBLEM_TYPES, Problem
from schemas.resources import JobRequest


def problem_response(status: int) -> dict[str, Any]:
    titles = sorted({problem.title for problem in PROBLEM_TYPES.values() if problem.status == status})
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": "; or: ".join(titles), "content": {MEDIA_TYPE: {"schema": schema}}}


PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: problem_response(status) for status in (400, 401, 404, 409, 413, 415, 422, 503)
}


def job_request_body() -> dict[str, Any]:
    """The generic submission: kind and parameters, with the parameters of every kind."""
    schema = JobRequest.model_json_schema()
    schema["properties"]["kind"]["enum"] = sorted(kinds())
    schema["properties"]["params"] = {"anyOf": [_params_schema(kind) for kind in kinds().values()]}
    return _body(schema)


def params_body(accepted: Iterable[AnyKind]) -> dict[str, Any]:
    return _body({"anyOf": [_params_schema(kind) for kind in accepted]})


def model_body(model: type[BaseModel]) -> dict[str, Any]:
    """A body that the route reads by itself."""
    return _body(_inlined(model))


def upload_body() -> dict[str, Any]:
    """A file and how it is to be read, as a form."""
    texts = ("name", "format", "encoding", "delimiter", "header", "sheet", "max_rejected_share")
    properties: dict[str, Any] = {name: {"type": "string"} for name in texts}
    properties["file"] = {"type": "string", "format": "binary"}
    schema = {"type": "object", "required": ["file", "name"], "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _params_schema(kind: AnyKind) -> dict[str, Any]:
    return _inlined(kind.command)


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """With its definitions inside: the document's components hold only what routes declare."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    inlined: dict[str, Any] = _inline(schema, definitions)
    return inlined


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name == "JsonValue":
            return {}
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return {**_inline(definitions[name], definitions), **rest}
    return {key: _inline(value, definitions) for key, value in node.items()}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def with_problem_schema(document: dict[str, Any]) -> dict[str, Any]:
    """Add the component that `PROBLEM_RESPONSES` refers to, and drop FastAPI's own 422, which nobody sends."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components |= schema.pop("$defs", {})
    components["Problem"] = schema
    components.pop("HTTPValidationError", None)
    components.pop("ValidationError", None)
    return document
