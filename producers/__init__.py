"""The publishing side of the domain: request a job, tell what became of it, give a message up."""
