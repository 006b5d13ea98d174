"""Python's cyclic garbage collector, tuned for a server of short-lived requests."""

import gc


def relax() -> None:
    """Collect a seventieth as often as by default, and leave what was loaded at start alone. Nearly all garbage of a
    request is freed by reference counting, so collecting costs time (the pipeline benchmark shows it) for nothing."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
