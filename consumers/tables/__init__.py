"""What the pools that read and write tables share. No pool."""
