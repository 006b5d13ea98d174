"""Our preprocessors: one module each."""
