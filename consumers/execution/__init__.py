"""Code of users: runs, and tasks of their own, in the sandbox.

Nothing of it runs in this process or as a child of it that could reach what is here; see `sandbox`.
"""

from consumers.execution.resources import open_execution
from consumers.runtime.worker_pool import WorkerPool

pool = WorkerPool("execution", resources=open_execution)
