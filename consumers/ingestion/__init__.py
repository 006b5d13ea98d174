"""The ingestion pool: uploaded files become typed, compressed tables."""

from consumers.runtime.worker_pool import WorkerPool

pool = WorkerPool("ingestion")
