"""The program around a task, run in the sandbox beside the task's own modules. It loads once and does every input.

It knows nothing of Millrace and imports nothing of it: what it finds lies in its directory, and what it says is a
file with a line of JSON for each input, in order, so that what was done before an end is not lost.
"""

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

INPUTS, OUTPUTS, MODEL = "task_inputs.json", "task_outputs.jsonl", "/mnt/model"
_AT_ONCE = 32
_ERROR_CHARACTERS = 2_000

_Run = Callable[[list[Any]], list[Any]]


def main() -> None:
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  # a path as text
    inputs = json.loads(Path(INPUTS).read_text())
    started = time.perf_counter()
    run = _loaded()
    with Path(OUTPUTS).open("w") as file:
        print(json.dumps({"load_s": time.perf_counter() - started}), file=file, flush=True)
        for begin in range(0, len(inputs), _AT_ONCE):
            for line in _answers(run, inputs[begin : begin + _AT_ONCE]):
                print(line, file=file, flush=True)


def _loaded() -> _Run:
    function, loaded = importlib.import_module("task_function"), []
    if Path(MODEL).is_dir():
        loaded = [_part("tokenizer", "AutoTokenizer"), _part("model", "AutoModel")]
    if hasattr(function, "run_batch"):
        return lambda inputs: list(function.run_batch(inputs, *loaded))
    return lambda inputs: [function.run(each, *loaded) for each in inputs]


def _part(name: str, usual: str) -> Any:
    if Path(f"task_{name}.py").exists():
        return getattr(importlib.import_module(f"task_{name}"), f"load_{name}")(MODEL)
    transformers = importlib.import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    found = getattr(transformers, usual).from_pretrained(MODEL, local_files_only=True)
    return found.eval() if name == "model" else found


def _answers(run: _Run, inputs: list[Any]) -> Iterator[str]:
    try:
        outputs = run(inputs)
        if len(outputs) != len(inputs):
            raise ValueError(f"run_batch returned {len(outputs)} outputs for {len(inputs)} inputs")
        lines = [json.dumps({"output": output}, allow_nan=False) for output in outputs]
    except Exception as error:  # noqa: BLE001  # a task may raise anything
        if len(inputs) == 1:
            yield json.dumps({"error": _told(error)})
        else:  # one of them is to blame, and the others are not
            for each in inputs:
                yield from _answers(run, [each])
    else:
        yield from lines


def _told(error: Exception) -> str:
    """With where it happened, but for our own frames."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name.startswith("task_")]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS] + where


if __name__ == "__main__":
    main()
