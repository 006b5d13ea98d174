"""Running strangers' Python. `open_sandbox` gives the best walls that this host has, or says why there are none."""

from consumers.execution.sandbox.opening import open_sandbox
from consumers.execution.sandbox.settings import SandboxSettings

__all__ = ["SandboxSettings", "open_sandbox"]
