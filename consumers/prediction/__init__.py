"""The prediction pool: what registered models say of rows."""

from consumers.runtime.worker_pool import WorkerPool

pool = WorkerPool("prediction")
