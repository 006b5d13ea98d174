"""Why something cannot be written, naming the field and the fix."""

from consumers.runtime.verdicts import Reject

_TITLES = {
    "input-empty": "A text has nothing that the model reads",
    "input-too-long": "It is longer than the model reads",
    "invalid-input": "The input cannot be used",
    "model-unsupported": "The model cannot be used",
}


def refused(field: str, detail: str, type: str) -> Reject:
    return Reject(f"{field}: {detail}", type=type, title=_TITLES[type])
