"""Contracts: versioned message bodies. A published contract is immutable; a breaking change is a new class.

    class EmbedText2(Contract, name="text.embed", version=2, supersedes=EmbedText1):
        @classmethod
        def upcast(cls, old: EmbedText1) -> "EmbedText2": ...

Both versions are accepted for as long as the old class stays in the tree; handlers only ever see the newest.
"""

import re
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

_NAME = re.compile(r"[a-z][a-z0-9-]*(\.[a-z][a-z0-9_-]*)+")


class Contract(BaseModel):
    """The base of every message body: frozen, closed to unknown fields, addressed by a `dataschema` URI."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    contract_name: ClassVar[str]
    contract_version: ClassVar[int]
    supersedes: ClassVar[type["Contract"] | None]
    dataschema: ClassVar[str]

    def __init_subclass__(
        cls, *, name: str = "", version: int = 1, supersedes: type["Contract"] | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)
        if not name:  # an abstract family, such as LifecycleEvent
            return
        if not _NAME.fullmatch(name):
            raise TypeError(f"{cls.__name__}: contract name {name!r} is not dotted lower case, like 'text.embed'")
        expected = 1 if supersedes is None else supersedes.contract_version + 1
        if version != expected:
            raise TypeError(f"{cls.__name__}: version must be {expected} to follow {supersedes}, not {version}")
        if supersedes is not None and "upcast" not in cls.__dict__:
            raise TypeError(f"{cls.__name__} supersedes {supersedes.__name__} and must define upcast()")
        if not cls.__dict__.get("__doc__"):
            raise TypeError(f"{cls.__name__} needs a docstring: its first line is the summary in every document")
        cls.contract_name = name
        cls.contract_version = version
        cls.supersedes = supersedes
        cls.dataschema = dataschema_uri(name, version)

    @classmethod
    def upcast(cls, old: Any) -> Self:
        """Lift an instance of `supersedes` to this version."""
        raise NotImplementedError(f"{cls.__name__} is a first version")

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    @classmethod
    def lineage(cls) -> list[type["Contract"]]:
        """This contract and all versions before it, newest first."""
        older = cls.supersedes.lineage() if cls.supersedes else []
        return [cls, *older]

    @classmethod
    def read(cls, dataschema: str, body: bytes) -> Self:
        """Validate `body` as the version that `dataschema` names, then upcast it step by step to this one.

        Raises UnknownContract for a version we do not know, pydantic.ValidationError for a body that does not fit.
        """
        if dataschema == cls.dataschema:
            return cls.model_validate_json(body)
        if cls.supersedes is None:
            raise UnknownContract(f"no version of {cls.contract_name} is called {dataschema!r}")
        return cls.upcast(cls.supersedes.read(dataschema, body))


class UnknownContract(ValueError):
    """A message names a contract or a version that this code does not know."""


def dataschema_uri(name: str, version: int) -> str:
    return f"urn:millrace:{name}:{version}"
