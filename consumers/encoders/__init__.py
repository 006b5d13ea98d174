"""Transformer encoders as files, for inference and for training: where they come from, what their directory says, and
how they are read.

No pool. Importing this package imports none of the heavy libraries; `reading` does.
"""
