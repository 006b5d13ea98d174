"""Millrace for its users: the HTTP client, the command line and the local stack.

    from millrace import Client

    job = Client().submit("diagnostics.echo", {"text": "hello"}, wait=10)
"""

from millrace.client import Client, Event, Job, ProblemError

__all__ = ["Client", "Event", "Job", "ProblemError"]
