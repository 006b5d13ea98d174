"""Which models the workers of the inference pool have, over HTTP."""

from schemas.resources import Resource


class Bfloat16(Resource):
    """What it is against float32 on this device, where that was measured."""

    speedup: float
    least_cosine: float


class Resident(Resource):
    """A model in the memory of a worker."""

    worker: str
    kind: str
    """The job kind that it serves: the same files may serve another one beside it."""
    sha256: str
    dtype: str
    device: str
    bytes: int
    """Of the weights and what came with them, measured."""
    peak_bytes: int
    """What a forward pass takes beside them, at most."""
    load_s: float
    uses: int
    """Jobs that asked for it."""
    in_use: int
    """Jobs that hold it now."""
    pass_s: float
    """Seconds of a forward pass, as fitted to those that ran."""
    token_s: float
    """Seconds of each of its tokens."""
    bfloat16: Bfloat16 | None


class InferenceModel(Resource):
    name: str
    """As jobs ask for it; of a registered one with its version."""
    present: list[str]
    """Workers that have its files, bundled or in their models folder. Those of the hub and of the registry are not
    looked for."""
    resident: list[Resident]


class InferenceModels(Resource):
    items: list[InferenceModel]
    allowed: list[str]
    """Names and globs that jobs may ask for; `./*` is every directory of the models folder."""
