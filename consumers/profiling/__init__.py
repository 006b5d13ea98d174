"""The profiling pool: what is in a dataset, as figures and as a report."""

from consumers.runtime.worker_pool import WorkerPool

pool = WorkerPool("profiling")
