"""Why a model cannot be used: the three refusals, each naming the field and the fix."""

from consumers.runtime.verdicts import Reject

FIELD = "/model"


def not_allowed(name: str, why: str) -> Reject:
    return Reject(f"{FIELD}: {name!r} {why}", type="model-not-allowed", title="The model is not allowed here")


def not_found(name: str, why: str) -> Reject:
    return Reject(f"{FIELD}: {name!r} {why}", type="model-not-found", title="The model does not exist here")


def unsupported(name: str, why: str) -> Reject:
    return Reject(f"{FIELD}: {name!r} {why}", type="model-unsupported", title="The model cannot be used")
