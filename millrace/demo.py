"""`millrace demo`: embed a few hundred real paragraphs through the running stack, search them by meaning, profile
them as a table, train a model that tells which package a paragraph comes from, find out that it was told of, and have
a program draw a plot of them in the sandbox."""

import ast
import csv
import re
import sysconfig
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from operator import mul
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from millrace.client import Client
from millrace.following import followed, succeeded
from millrace.stack.errors import StackError
from millrace.stack.settings import StackSettings
from schemas.jobs.code_run import CodeRan
from schemas.jobs.dataset_profile import DatasetProfiled
from schemas.jobs.model_predict import RowsPredicted
from schemas.jobs.model_train import ModelTrained
from schemas.resources import Job

_PACKAGES = (
    "aio_pika",
    "fastapi",
    "faststream",
    "httpx",
    "numpy",
    "pydantic",
    "pymongo",
    "redis",
    "tenacity",
    "uvicorn",
)
_PARAGRAPHS = 400
_PER_PACKAGE = _PARAGRAPHS // len(_PACKAGES)
_PER_JOB = 4
_CONCURRENT = 16
_WAIT_S = 60
_SEARCH_S = 20
_TOLD_WITHIN_S, _LOOK_EVERY_S = 15.0, 0.3
_PLOT = Path(__file__).parent / "examples" / "plot.py"
_QUERY = "wait a little longer before each new try after a failure"


_NEXT = """
The stack goes on running. Try next:
  millrace status                                               every URL, and the API key
  millrace jobs                                                 what has just run
  millrace datasets add FILE; millrace datasets profile NAME    a table of your own
  millrace models train NAME COLUMN                             a model that predicts a column of it
  millrace notifications ls                                     what has ended meanwhile; `millrace webhooks add`
  millrace run FILE.py                                          a program of your own, in the sandbox
  millrace tasks examples; millrace tasks ls                    code around a model
  millrace submit text.embed '{"inputs": ["a text"]}' --wait 10
  millrace submit system.probe '{"failure": "error"}'           then see it being retried: millrace jobs
  millrace down                                                 stop everything
(The commands live in .venv/bin.)
"""


@dataclass(frozen=True)
class Paragraph:
    text: str
    origin: str
    """Dotted name of the object that it documents."""


def paragraphs() -> list[Paragraph]:
    """First paragraphs of docstrings in installed packages: real prose, the same on every machine with our lock."""
    found: list[Paragraph] = []
    for package in _PACKAGES:
        found += islice(_of_package(Path(sysconfig.get_path("purelib")) / package), _PER_PACKAGE)
    return found


def _of_package(folder: Path) -> Iterator[Paragraph]:
    seen: set[str] = set()
    for path in sorted(folder.rglob("*.py")):
        module = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                text = re.sub(r"\s+", " ", (ast.get_docstring(node) or "").partition("\n\n")[0])
                if 60 <= len(text) <= 2_000 and text not in seen:
                    seen.add(text)
                    yield Paragraph(text, f"{module}.{node.name}")


def run(client: Client, console: Console) -> None:
    """Raises ProblemError, httpx.TransportError, or StackError for a job that did not succeed."""
    corpus = paragraphs()
    batches = [corpus[start : start + _PER_JOB] for start in range(0, len(corpus), _PER_JOB)]
    console.print(f"Embedding {len(corpus)} paragraphs from {len(_PACKAGES)} packages, as {len(batches)} jobs")
    jobs = _embed(client, batches, console)
    vectors = [vector for job in jobs for vector in _vectors(client.get(job.id))]
    query = _vectors(succeeded(client.submit("text.embed", {"inputs": [_QUERY]}, wait=_WAIT_S)))[0]
    # Vectors of unit length: the dot product is the cosine similarity.
    ranked = sorted(((sum(map(mul, query, v)), p) for v, p in zip(vectors, corpus, strict=True)), key=lambda r: -r[0])
    table = Table(title=f"Nearest to “{_QUERY}”", title_justify="left")
    table.add_column("Cosine", justify="right")
    table.add_column("Origin", overflow="fold")
    table.add_column("Paragraph")
    for similarity, paragraph in ranked[:5]:
        table.add_row(f"{similarity:.3f}", paragraph.origin, paragraph.text[:160])
    console.print(table)
    _describe(client, corpus, console)
    _tell(client, _learn(client, console), console)
    _plot(client, corpus, console)
    console.print(_NEXT, markup=False)


def _describe(client: Client, corpus: list[Paragraph], console: Console) -> None:
    """Upload the corpus as a table, have it profiled, and show what stands out."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "docstrings.csv"
        _write_table(corpus, file)
        ingested = succeeded(client.datasets.add(file, wait=_WAIT_S))
    profiled = succeeded(client.datasets.profile("docstrings", wait=_WAIT_S))
    headline = DatasetProfiled.model_validate(profiled.result).headline
    report = StackSettings().data_dir.resolve() / "docstrings-profile.html"
    report.write_bytes(client.datasets.report("docstrings"))
    rows = (ingested.result or {})["rows"]
    console.print(f"\nThe same as a table, docstrings.csv: {rows} rows, {headline.columns} columns; what stands out:")
    for alert in headline.top_alerts:
        console.print(f"  - {alert}", markup=False)
    console.print(f"Its report: {report.as_uri()}", markup=False)


def _learn(client: Client, console: Console) -> Job:
    """Train a model on the table, show how good it is, and ask it about a sentence that it has not seen. The
    training."""
    console.print(f"\nLearning which package a paragraph comes from; the search takes {_SEARCH_S} s:")
    # The name of the object would tell the package.
    asked = client.models.train("docstrings", "package", exclude=["object"], budget_s=_SEARCH_S, name="package-of")
    trained = ModelTrained.model_validate(succeeded(followed(client, asked, quiet=False)).result)
    table = Table("Metric", "Model", "Blind guess", box=None)
    for name, value in trained.metrics.items():
        table.add_row(name, f"{value:.3f}", f"{trained.baseline[name]:.3f}")
    console.print(table)
    card = StackSettings().data_dir.resolve() / "package-of-card.html"
    card.write_bytes(client.models.page("package-of", trained.version))
    console.print(f"{trained.trials} trials, the best one by {trained.best_trainer}. Its card: {card.as_uri()}")
    row = {"words": len(_QUERY.split()), "characters": len(_QUERY), "first_word": "wait", "is_sentence": False}
    answered = succeeded(client.models.predict("package-of", [row | {"text": _QUERY}], wait=_WAIT_S))
    found = RowsPredicted.model_validate(answered.result)
    likely = max((found.probabilities or [[0.0]])[0])
    console.print(f"“{_QUERY}” sounds like {found.predictions[0]} ({likely:.0%}).")
    return asked


def _tell(client: Client, training: Job, console: Console) -> None:
    """Show that whoever was not watching finds a notification that the training has ended."""
    until = time.monotonic() + _TOLD_WITHIN_S
    while time.monotonic() < until:
        for told in islice(client.notifications.find(page_size=20), 20):
            if told.job_id == training.id:
                console.print(f"\nMeanwhile a notification has arrived: {told.title}. {told.text}", markup=False)
                return
        time.sleep(_LOOK_EVERY_S)
    raise StackError("no notification has arrived: does the pool `notifications` run?")


def _plot(client: Client, corpus: list[Paragraph], console: Console) -> None:
    """Have a program draw how long the paragraphs are, and fetch the picture."""
    lengths = "\n".join(str(len(paragraph.text.split())) for paragraph in corpus)
    files = {"lengths.txt": lengths.encode()}
    job = succeeded(client.code.run(_PLOT.read_text(), files=files, memory_mb=64, wait=_WAIT_S))
    ran = CodeRan.model_validate(job.result)
    if ran.outcome != "ok":
        raise StackError(f"the program that draws ended as {ran.outcome}: {ran.stderr}")
    picture = StackSettings().data_dir.resolve() / "lengths.png"
    picture.write_bytes(client.code.artifact(job.id, "lengths.png"))
    console.print(f"\nA program in the sandbox (tier {ran.tier}) drew how many words they have: {ran.stdout.strip()}")
    console.print(f"It took {ran.usage.wall_s * 1000:.0f} ms. Its plot: {picture.as_uri()}", markup=False)


def _write_table(corpus: list[Paragraph], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        rows.writerow(["package", "object", "words", "characters", "first_word", "is_sentence", "text"])
        for found in corpus:
            words = found.text.split()
            package, _, name = found.origin.partition(".")
            rows.writerow(
                [package, name, len(words), len(found.text), words[0], found.text.endswith("."), found.text]
            )


def _embed(client: Client, batches: list[list[Paragraph]], console: Console) -> list[Job]:
    columns = (TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(_CONCURRENT) as threads:
        bar = progress.add_task("jobs", total=len(batches))

        def embed(batch: list[Paragraph]) -> Job:
            inputs = [paragraph.text for paragraph in batch]
            job = succeeded(client.submit("text.embed", {"inputs": list(inputs)}, wait=_WAIT_S, fresh=True))
            progress.advance(bar)
            return job

        return list(threads.map(embed, batches))


def _vectors(job: Job) -> list[list[float]]:
    return cast("list[list[float]]", (job.result or {})["outputs"])
