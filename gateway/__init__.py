"""The HTTP side: translates requests into commands and the projection into resources. Decides nothing."""
