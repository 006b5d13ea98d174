"""Benchmarks: one file each, every one measures Millrace and its peers in one run on one machine."""
