"""JSON Schema, as far as a task may use it to say what goes in and what comes out.

Schemas come from users and are applied in our own processes. So there are no references and no combinations, which
can take exponential time, and no patterns, some of which take as long on an innocent text: what is left is applied in
the time that it takes to read the value.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, JsonValue
from pydantic_core import PydanticCustomError

from schemas.values import JsonObject

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_MOST_NODES = 200
_MOST_CHOICES = 100
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_NOTES = ("title", "description", "default", "examples", "$schema")
_KEYWORDS = ("type", "enum", "const", "properties", "required", "additionalProperties", "items", *_NUMBERS, *_COUNTS)


def _is_shape(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if _check(schema, "") > _MOST_NODES:
        raise _wrong("", f"made of more than {_MOST_NODES} parts")
    return schema


Shape = Annotated[JsonObject, AfterValidator(_is_shape)]


def _check(schema: Any, at: str) -> int:
    """How many schemas it is made of. Raises what a validator raises."""
    if not isinstance(schema, dict):
        raise _wrong(at, "not an object")
    for keyword, value in schema.items():
        if keyword not in (*_KEYWORDS, *_NOTES):
            raise _wrong(f"{at}/{keyword}", f"not understood here; known are {', '.join(_KEYWORDS)}")
        if not _fits(keyword, value):
            raise _wrong(f"{at}/{keyword}", "not what JSON Schema has there")
    inner = [(f"{at}/properties/{name}", part) for name, part in schema.get("properties", {}).items()]
    inner += [(f"{at}/items", schema["items"])] if "items" in schema else []
    if isinstance(schema.get("additionalProperties"), dict):
        inner.append((f"{at}/additionalProperties", schema["additionalProperties"]))
    return 1 + sum(_check(part, place) for place, part in inner)


def _fits(keyword: str, value: JsonValue) -> bool:
    if keyword == "type":
        wanted = value if isinstance(value, list) and value else [value]
        return all(each in TYPES for each in wanted)
    if keyword == "enum":
        return isinstance(value, list) and 0 < len(value) <= _MOST_CHOICES
    if keyword == "required":
        return isinstance(value, list) and len(value) <= _MOST_CHOICES and all(isinstance(e, str) for e in value)
    if keyword in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if keyword in _COUNTS:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if keyword == "additionalProperties":
        return isinstance(value, bool | dict)
    return isinstance(value, dict) if keyword in ("properties", "items") else True


def _wrong(at: str, why: str) -> PydanticCustomError:
    return PydanticCustomError("shape", "{at}: {why}", {"at": at or "/", "why": why})
