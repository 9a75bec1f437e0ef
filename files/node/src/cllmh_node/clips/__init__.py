"""Clips on the disk and the index of them, and of the gaps in which nothing could be recorded."""
