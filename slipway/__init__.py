"""Slipway: deploy machine-learning models to Azure Kubernetes Service as code."""
