"""Our trainers: one module each, or one for a few of a kind."""
