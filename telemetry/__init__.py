"""Logs, metrics and trace context. The lowest room: everybody may use it, it knows nobody."""
