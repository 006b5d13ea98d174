"""`model.fetch`: a model into the memory of a worker, before somebody asks it."""

from typing import Literal

from schemas.contract import Contract
from schemas.kinds import JobKind
from schemas.texts import DEFAULT_MODEL, LabellerName


class FetchModel(Contract, name="model.fetch"):
    """Find a model, download it when it is of the hub, and load it; the first text then waits for nothing. One worker
    does it, as with every job."""

    model: LabellerName = DEFAULT_MODEL
    """As in the jobs that ask it."""
    task: Literal["embed", "classify", "zero-shot", "ner", "qa", "fill-mask"] = "embed"
    """What it is to do: the same files are loaded differently."""


class ModelFetched(Contract, name="model.fetched"):
    """The model is in memory, until others need the room more."""

    name: str
    """Of a registered model with its version."""
    task: str
    sha256: str
    """Digest of the weights file, or of a registered model's file."""
    bytes: int
    """Of the weights and what came with them, measured."""
    peak_bytes: int
    """What a forward pass takes beside them, at most."""
    load_s: float
    """How long loading took, now or whenever it was loaded."""
    dtype: str
    device: str


MODEL_FETCH = JobKind(FetchModel, ModelFetched)
