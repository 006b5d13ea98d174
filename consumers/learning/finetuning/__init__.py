"""Fine-tuning an encoder: its texts, its batches, its recipe and what is kept of it."""
