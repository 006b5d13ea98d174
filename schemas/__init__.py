"""What Millrace says on the wire: envelopes, events, commands, HTTP resources and problem types. Pydantic only."""
