"""What a device's child serves in tests. It needs none of the heavy libraries."""

import os
import signal
import threading
import time
from collections.abc import Iterable
from typing import Any

from consumers.devices.serving import Stream
from consumers.runtime.verdicts import Reject


class Toy:
    def __init__(self, greeting: str) -> None:
        if not greeting:
            raise ValueError("say something")
        self.greeting = greeting
        self.gate = threading.Event()
        self.streams: list[Stream] = []

    def greet(self, name: str) -> str:
        return f"{self.greeting}, {name}"

    def twice(self, array: Any) -> Any:
        return array * 2

    def wait(self) -> str:
        self.gate.wait()
        return "waited"

    def open(self) -> None:
        self.gate.set()

    def count(self, stream: Stream, numbers: Iterable[int]) -> None:
        """Tells from a thread of its own, after having returned."""
        self.streams.append(stream)

        def tell() -> None:
            for number in numbers:
                stream.tell(number)
            stream.end()

        threading.Thread(target=tell, daemon=True).start()

    def mute(self, stream: Stream) -> None:
        self.streams.append(stream)

    def dropped(self) -> list[bool]:
        return [stream.dropped for stream in self.streams]

    def fail_stream(self, stream: Stream) -> None:
        stream.tell("so far so good")
        raise LookupError("nothing more")

    def refuse(self) -> None:
        raise Reject("/inputs/0: no", type="input-unusable")

    def fail(self, how: str) -> None:
        raise {"known": LookupError(how), "foreign": ForeignError(how)}[how]

    def give_a_lock(self) -> Any:
        return threading.Lock()

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    def group(self) -> int:
        return os.getpgid(0)


class ForeignError(Exception):
    """Of a library that the worker does not import."""
