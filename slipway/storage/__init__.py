"""What lies in the workspace's Blob storage: models that are registered, rows that are collected."""
