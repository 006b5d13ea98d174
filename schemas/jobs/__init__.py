"""One module per job kind: its command (parameters) and its result. Adding a module here adds a kind."""
