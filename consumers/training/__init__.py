"""The training pool: from a dataset version to a registered model."""

from consumers.runtime.worker_pool import WorkerPool
from consumers.training.announcement import announcing

pool = WorkerPool("training", resources=announcing)
