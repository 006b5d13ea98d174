"""Problem types: everything that can be wrong, each with a slug, a page, and what to do about it (RFC 9457)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    slug: str
    status: int | None
    """HTTP status; None for what only happens to a job after it was accepted."""
    title: str
    remedy: str

    @property
    def path(self) -> str:
        return f"/problems/{self.slug}"


class InvalidField(BaseModel):
    pointer: str
    """JSON Pointer into the request body, or the name of a header or query parameter."""
    detail: str


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Annotated[str, Field(examples=["/problems/invalid-parameters"])]
    title: str
    status: int
    detail: str
    instance: str | None = None
    """The request id, as it stands in the logs."""
    errors: list[InvalidField] | None = None
    """Every invalid field at once."""


def _types(*types: ProblemType) -> dict[str, ProblemType]:
    return {problem.slug: problem for problem in types}


PROBLEM_TYPES = _types(
    ProblemType("invalid-parameters", 422, "The request does not fit its contract", "`errors` names every field."),
    ProblemType("malformed-json", 422, "The body is not JSON in UTF-8", "Send a JSON object, encoded in UTF-8."),
    ProblemType(
        "idempotency-key-reused",
        422,
        "This idempotency key belongs to another request",
        "Repeat the first request unchanged, or choose a new key.",
    ),
    ProblemType("invalid-header", 400, "A header cannot be understood", "`detail` names it and gives an example."),
    ProblemType("invalid-query", 400, "A query parameter cannot be understood", "`errors` names it."),
    ProblemType(
        "unauthenticated",
        401,
        "No valid API key",
        "Send the key as `X-API-Key` or `Authorization: Bearer`. `millrace status` shows the key of a local stack.",
    ),
    ProblemType("not-yours", 403, "It belongs to somebody else", "Fork it, and change your own."),
    ProblemType("not-found", 404, "There is no such thing", "Check the path and the id."),
    ProblemType(
        "conflict", 409, "It has changed meanwhile", "Read it again, and decide again whether you want to change it."
    ),
    ProblemType(
        "letter-settled",
        409,
        "The letter is not open any more",
        "It was replayed or discarded; `detail` says by whom.",
    ),
    ProblemType(
        "letter-not-editable",
        409,
        "Nobody can say what this letter should hold",
        "Only commands of a known kind have parameters. Replay it as it is, or discard it.",
    ),
    ProblemType(
        "version-aliased",
        409,
        "An alias points at it",
        "Move or remove the alias first, or repeat the request with `?force=true`, which removes it.",
    ),
    ProblemType(
        "version-archived",
        409,
        "The version is in the archive",
        "Take it out with `POST /v1/models/{name}/versions/{version}/unarchive`, or choose another.",
    ),
    ProblemType(
        "cannot-finish-early",
        409,
        "The job cannot end early with what it has",
        "`detail` says why. Wait until it runs, let it end by itself, or cancel it.",
    ),
    ProblemType("method-not-allowed", 405, "The resource does not do that", "`Allow` lists what it does."),
    ProblemType(
        "payload-too-large", 413, "The body is larger than this gateway takes", "Split the work, or raise the limit."
    ),
    ProblemType("broken-off", 400, "The request ended before its body did", "Send it again, or upload in parts."),
    ProblemType(
        "no-direct-upload",
        409,
        "Files cannot be put past the gateway here",
        "Send it to `/v1/datasets`, or in parts to `/v1/uploads`. URLs to put files to need a bucket as `BLOB_URL`.",
    ),
    ProblemType("tus-version", 412, "Another version of the tus protocol", "Send `Tus-Resumable: 1.0.0`."),
    ProblemType("malformed-form", 422, "The form cannot be read", "Send multipart/form-data, whole."),
    ProblemType(
        "unsupported-media-type",
        415,
        "The body is of another type than the route takes",
        "Send `Content-Type: application/json`, or a form where a file is uploaded.",
    ),
    ProblemType(
        "broker-unavailable",
        503,
        "The job was not accepted: the broker is away",
        "Try again after `Retry-After` seconds, with the same `Idempotency-Key` if you sent one.",
    ),
    ProblemType(
        "ledger-behind",
        503,
        "The job may be accepted and is not visible yet",
        "Try again after `Retry-After` seconds. `GET /v1/jobs/{id}/why` says how far the ledger is behind.",
    ),
    ProblemType("store-unavailable", 503, "The store is away", "Try again after `Retry-After` seconds."),
    ProblemType(
        "bytes-missing",
        500,
        "Parameters or result are gone from the blob store",
        "Restore the blob store, or run it again.",
    ),
    ProblemType("internal-error", 500, "The gateway failed", "Report the request id in `instance`."),
    ProblemType("invalid-input", None, "The input cannot be used", "`detail` names the field and the fix."),
    ProblemType("input-empty", None, "A text has nothing that the model reads", "`detail` names it; leave it out."),
    ProblemType(
        "input-too-long", None, "A text is longer than the model reads", "Shorten it, or allow `options.truncate`."
    ),
    ProblemType("input-unusable", None, "The model has no answer for an input", "`detail` names it; leave it out."),
    ProblemType(
        "over-quota", None, "More than the quota", "Ask for less, or the operator for more; `detail` says how much."
    ),
    ProblemType("attempt-failed", None, "The attempt failed", "The job is tried again by itself."),
    ProblemType("retry-later", None, "Something is in the way", "The job is tried again by itself."),
    ProblemType(
        "attempts-exhausted",
        None,
        "Every attempt failed",
        "The job lies in the dead letters; an operator can replay it.",
    ),
    ProblemType(
        "undecodable-message",
        None,
        "The message fits no contract",
        "It lies in the dead letters with its original bytes.",
    ),
    ProblemType("runtime-fault", None, "Our own code failed", "It lies in the dead letters with the traceback."),
    ProblemType(
        "worker-killed",
        None,
        "Every worker that took it died",
        "It lies in the dead letters. Look at the workers' memory limits first.",
    ),
    ProblemType(
        "deadline-missed", None, "The deadline passed before the job started", "Allow more time in `Cancel-After`."
    ),
    ProblemType(
        "cancelled", None, "The job was cancelled", "`detail` says by whom; submit it again if that was wrong."
    ),
    ProblemType(
        "unreadable-file",
        None,
        "The file cannot be read as a table",
        "`detail` says where it breaks. Correct the file, or say how it is to be read: format, encoding, delimiter.",
    ),
    ProblemType(
        "model-not-allowed",
        None,
        "This model is not on the allow-list",
        "Ask the operator, or use the default model.",
    ),
    ProblemType("model-not-found", None, "There is no such model", "Check the name; a hub id needs a network."),
    ProblemType(
        "model-broken",
        None,
        "The file of this model is not what its training wrote",
        "Restore the blob store, or train it again and delete this version.",
    ),
    ProblemType(
        "model-unsupported",
        None,
        "This model cannot be loaded",
        "Only safetensors weights are loaded, and no code that comes with a model.",
    ),
    ProblemType("receiver-gone", None, "Nobody is there to be told", "The endpoint or subscription was removed."),
    ProblemType(
        "endpoint-disabled",
        None,
        "The endpoint is disabled",
        "`GET /v1/webhooks/{id}` says why. Enable it with `PATCH`, then `POST /v1/webhooks/{id}/recover`.",
    ),
    ProblemType(
        "address-not-allowed",
        None,
        "The receiver is in a network that may not be reached",
        "Use a public address, or ask the operator to allow the network (`MILLRACE_NOTIFICATIONS_ALLOWED_NETWORKS`).",
    ),
    ProblemType("channel-not-set-up", None, "This channel is not set up here", "`detail` says what is missing."),
    ProblemType("refused-by-receiver", None, "The receiver refuses it for good", "`detail` says what it answered."),
    ProblemType("superseded", None, "The job has been replayed since", "The end of its replay is told by itself."),
)
