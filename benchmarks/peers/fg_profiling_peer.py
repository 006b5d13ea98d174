"""fg-data-profiling in its minimal mode, which its documentation advises for large tables: figures as JSON."""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import pandas as pd

try:
    from data_profiling import ProfileReport
except ImportError:  # as it was called before
    from ydata_profiling import ProfileReport


def main() -> None:
    started, used = time.perf_counter(), time.process_time()
    ProfileReport(pd.read_parquet(Path(sys.argv[1])), minimal=True, progress_bar=False).to_json()
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - used
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "CPU-s": cpu_s, "peak MiB": peak_mib}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
