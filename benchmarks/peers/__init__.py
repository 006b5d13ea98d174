"""The peers: what an expert writes with each library, a FastAPI gateway and a no-op task.

Each module is both the gateway's application and the worker's tasks, and runs in the peers' own environment
(`benchmarks/requirements.txt`), never in ours; so mypy, which runs in ours, leaves them out.
"""
