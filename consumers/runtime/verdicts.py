"""What a handler may say instead of returning a result. `outcome.py` maps verdicts to events and broker actions."""


class Verdict(Exception):
    """Raised by handlers. Every other exception counts as unexpected and is retried."""


class Reject(Verdict):
    """The input is wrong and trying again cannot help: the job fails, without retry and without a dead letter.

    `type` is a problem slug such as `model-not-allowed`; `detail` names the field and the fix.
    """

    def __init__(self, detail: str, *, type: str = "invalid-input", title: str = "The input cannot be used") -> None:
        super().__init__(detail)
        self.detail, self.type, self.title = detail, type, title


class HaltConsumer(Verdict):
    """Nothing of this kind can run here now: the device is gone, a credential is wrong. The pool stops taking work
    and probes until it can again; the job waits, and this attempt counts as none."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class RetryLater(Verdict):
    """Something that may pass is in the way. `delay_s` asks for a delay tier of at least that long."""

    def __init__(self, detail: str, *, delay_s: float | None = None) -> None:
        super().__init__(detail)
        self.detail, self.delay_s = detail, delay_s


class NotNow(Verdict):
    """There is no room for this job for a moment, which says nothing about it: the same attempt comes again, after at
    least `delay_s`."""

    def __init__(self, detail: str, *, delay_s: float) -> None:
        super().__init__(detail)
        self.detail, self.delay_s = detail, delay_s
