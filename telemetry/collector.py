"""Python's cyclic garbage collector, tuned for a server of short-lived requests."""

import gc


def relax() -> None:
    """Collect a seventieth as often, and leave what was loaded at start alone: 14 % of the gateway's CPU time in the
    pipeline benchmark, for a few megabytes. Nearly all garbage of a request is freed by reference counting."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
