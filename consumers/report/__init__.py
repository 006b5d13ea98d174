"""Pages of figures: what the reports of several pools are made of. One file that needs nothing else, to open, to
print and to send. No pool."""
