"""Meta-training on base classes."""
