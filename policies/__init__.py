"""What no environment may be: a policy pack, its rules importable."""
