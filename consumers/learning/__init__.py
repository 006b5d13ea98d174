"""What training and prediction share: plugins, preprocessing, trainers, metrics, and the file that a model is.

No pool: `consumers.training` searches and fits, `consumers.prediction` answers. Importing this package imports none
of the heavy libraries; the modules below it do.
"""

import os

# Threads of OpenMP otherwise spin while they wait for each other. Where the machine has other work, that is most of
# the time: 100 small trees took 43 s, and 2 with this, beside 15 busy processes on two cores. Read when a library
# loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
