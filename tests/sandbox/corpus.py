"""What every build tries on the sandbox: each case a program, and the verdict that it must come to.

A program that is to be denied something says `denied ERRNO` for each thing that it tried, or `escaped` with what it
got. Numbers of system calls are those of x86-64.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.sandbox import (
    corpus_files,
    corpus_network,
    corpus_processes,
    corpus_python,
    corpus_resources,
    corpus_works,
)


class Expected(StrEnum):
    DENIED = "D"
    KILLED = "K"
    LIMITED = "L"
    WORKS = "OK"


@dataclass(frozen=True)
class Case:
    group: str
    name: str
    expected: Expected
    code: str
    packages: str = "plain"

    @property
    def id(self) -> str:
        return f"{self.group}: {self.name}"


PRELUDE = (Path(__file__).parent / "prelude.txt").read_text()


def cases() -> Iterator[Case]:
    for module in (corpus_files, corpus_processes, corpus_network, corpus_python, corpus_resources, corpus_works):
        for (letter, name, *profile), code in module.CASES.items():
            yield Case(module.GROUP, name, Expected(letter), code, *profile)
