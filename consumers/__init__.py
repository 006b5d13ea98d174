"""The processes that do the work: one package per pool, on a common runtime."""
