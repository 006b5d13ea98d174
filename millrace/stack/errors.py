"""What can go wrong with the stack, said so that a person can act on it."""


class StackError(Exception):
    """One line that names the fix; `detail` holds the end of a log where one helps."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail
