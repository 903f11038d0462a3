"""What runs of a stack, for the commands: the same questions to this machine and to a cluster."""
