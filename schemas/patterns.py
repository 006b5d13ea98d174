"""What a text must look like, in words: a regular expression tells a program what is wrong, and a person nothing."""

from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class Pattern:
    """Of a text, beside its other constraints: `Annotated[str, StringConstraints(max_length=40), Pattern(...)]`."""

    regex: str
    words: str
    """What whoever sent something else is told."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = cast(core_schema.StringSchema, handler(source))
        fitting = core_schema.custom_error_schema(
            text | {"pattern": self.regex},
            custom_error_type="pattern",
            custom_error_message=f"Should be {self.words}",
        )
        return core_schema.chain_schema([text, fitting])  # the first says what else is wrong

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"pattern": self.regex}


NOT_BLANK = Pattern(r"\S", "more than nothing and spaces")
Id = Annotated[str, Pattern(r"^[0-9a-f]{32}$", "an id of ours: 32 digits from 0 to 9 and a to f")]
VersionId = Annotated[str, Pattern(r"^[0-9a-f]{12}$", "a version: 12 digits from 0 to 9 and a to f")]
Sha256 = Annotated[str, Pattern(r"^[0-9a-f]{64}$", "a SHA-256 digest: 64 digits from 0 to 9 and a to f")]
Name = Annotated[
    str,
    StringConstraints(max_length=100),
    Pattern(
        r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        "a name of letters, digits, '.', '_' and '-' that begins with a letter or a digit, such as 'iris-2'",
    ),
]
