"""A look at code before it runs."""

import pytest

from producers.lint import LintSettings, defined, lint
from schemas.code import MAX_CODE, Severity
from schemas.execution import Packages

NOTHING_DISALLOWED = LintSettings(disallowed_imports=[])


@pytest.mark.parametrize(
    ("code", "line", "column", "message"),
    [
        ("x = (\n", 1, 5, "'(' was never closed"),
        ("import json\n\ndef f(:\n    pass\n", 3, 7, "invalid syntax"),
        ("x = 1\nreturn x\n", 2, 1, "'return' outside function"),
        ("def f():\n    x = 1\n    nonlocal x\n", 3, 5, "name 'x' is assigned to before nonlocal declaration"),
        ("if True:\n\tx = 1\n        y = 2\n", 3, None, "inconsistent use of tabs and spaces in indentation"),
    ],
)
def test_what_does_not_compile_is_an_error_with_its_place(
    code: str, line: int, column: int | None, message: str
) -> None:
    (found,) = lint(code, Packages.PLAIN, NOTHING_DISALLOWED)
    assert (found.severity, found.message, found.line) == (Severity.ERROR, message, line)
    assert column is None or found.column == column


@pytest.mark.parametrize("code", ["a\0b", "-" * 50_000 + "1", "(" * 5_000 + ")" * 5_000, "f" + "()" * 40_000])
def test_code_that_is_too_much_for_the_compiler_is_an_error(code: str) -> None:
    assert [found.severity for found in lint(code, Packages.PLAIN, NOTHING_DISALLOWED)] == [Severity.ERROR]


def test_code_that_warns_is_no_error() -> None:
    assert lint("assert (1, 'always')\nx = '\\d' is 3\n", Packages.PLAIN, NOTHING_DISALLOWED) == []


@pytest.mark.parametrize(
    ("policy", "code", "places"),
    [
        (["ctypes"], "import os, ctypes.util as c", [(1, 12)]),
        (["ctypes*"], "try:\n    from ctypes import CDLL\nexcept ImportError: pass", [(2, 24)]),
        (["os.path"], "from os import path, sep", [(1, 16)]),
        (["os"], "def f():\n    é = 1; import os.path", [(2, 19)]),
        (["os"], "import ossify\nfrom .os import x", []),
    ],
)
def test_the_policy_says_what_may_not_be_imported(
    policy: list[str], code: str, places: list[tuple[int, int]]
) -> None:
    found = lint(code, Packages.PLAIN, LintSettings(disallowed_imports=policy))
    assert [(each.line, each.column) for each in found if each.severity is Severity.ERROR] == places


def test_the_policy_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_CODE_DISALLOWED_IMPORTS", "ctypes, multiprocessing*")
    assert LintSettings().disallowed_imports == ["ctypes", "multiprocessing*"]


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        (Packages.PLAIN, "import numpy as np", "numpy is not among the packages 'plain': ask for 'data'"),
        (Packages.DATA, "import numpy as np", None),
        (Packages.DATA, "from torch.nn import Linear", "torch is not among the packages 'data': ask for 'torch'"),
        (Packages.TORCH, "import torch", None),
        (Packages.PLAIN, "from urllib.request import urlopen", "urllib.request has no network to use here"),
    ],
)
def test_what_will_hardly_work_is_a_warning(packages: Packages, code: str, said: str | None) -> None:
    found = lint(code, packages, NOTHING_DISALLOWED)
    assert [(each.severity, each.message) for each in found] == ([(Severity.WARNING, said)] if said else [])


def test_the_longest_code_is_read_in_time() -> None:
    line = "value = [number * 2 for number in range(10)]\n"
    assert lint(line * (MAX_CODE // len(line)), Packages.PLAIN, NOTHING_DISALLOWED) == []


def test_functions_of_the_top_level_are_found() -> None:
    assert defined("def run(a): ...\nclass C:\n    def other(self): ...\nasync def run_batch(a): ...") == {"run"}
