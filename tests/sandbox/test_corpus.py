"""Every case of the corpus, on the real sandbox."""

from pathlib import Path
from typing import Any

import pytest

from consumers.execution.sandbox.ports import Sandbox
from tests.sandbox.corpus import Case, cases
from tests.sandbox.host import accepts, attempt, judge


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases()])
async def test_it_comes_to_what_it_must(case: Case, sandbox: Sandbox, told: dict[str, Any], leavings: Path) -> None:
    run = await attempt(sandbox, case, told, leavings)
    verdict = judge(run)
    assert accepts(case, run, verdict), f"{verdict}\n{run.ended}\n{run.stdout[:2000]}\n{run.stderr[-2000:]}"
