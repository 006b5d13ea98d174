"""What the pools that write tables share. No pool."""
