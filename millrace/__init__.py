"""Millrace for its users: the HTTP client, the command line and the local stack.

from millrace import Client

job = Client().submit("system.probe", {"payload": {"hello": "world"}}, wait=10)
"""

from millrace.client import Client, Event, ProblemError
from schemas.resources import Job, JobSummary

__all__ = ["Client", "Event", "Job", "JobSummary", "ProblemError"]
