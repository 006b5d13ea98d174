"""The training pool: from a dataset version to a registered model."""

import os

# Before any library starts its threads: by default they wait in a loop for the next piece of work. On two processors
# that others use as well a training of 569 rows did not end in ten minutes that way, and in half a minute this way.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from consumers.runtime.worker_pool import WorkerPool
from consumers.training.announcement import announcing

pool = WorkerPool("training", resources=announcing)
