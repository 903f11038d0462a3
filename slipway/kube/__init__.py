"""Kubernetes objects: the seam between the graph and whatever realises it."""
