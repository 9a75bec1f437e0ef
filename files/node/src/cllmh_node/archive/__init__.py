"""Clips copied from the node to the hub or a bucket, and marked safe once a copy is verified there."""
