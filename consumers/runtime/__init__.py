"""Decode, handle, publish the outcome, acknowledge: what every pool has in common."""
