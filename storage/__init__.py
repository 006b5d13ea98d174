"""The only room that knows MongoDB, Redis and blobs."""
