"""The local stack: a private broker, Redis and store, the gateway and the pools, under one supervisor."""
