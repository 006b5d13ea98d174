"""Runs a stranger's Python so that neither the host, the network, nor another job is within its reach."""
