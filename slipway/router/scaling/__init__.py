"""How many replicas each web service has: what is seen, what is decided, what came of it."""
