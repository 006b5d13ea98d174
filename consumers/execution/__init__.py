"""Code of users: runs, and tasks of their own, in the sandbox."""
