"""Images by hash: which files enter one, how they lie in it, what its reference is."""
