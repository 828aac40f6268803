"""The method and its runs: configuration, training, adaptation, evaluation, reports, and the command line."""

__version__ = "0.1.0"
