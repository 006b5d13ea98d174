"""The diagnostics pool: jobs that test the path itself."""

from consumers.runtime.worker_pool import WorkerPool

pool = WorkerPool("diagnostics")
