"""What must exist: one ComponentResource a file, its Args class beside it."""
