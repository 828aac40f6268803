"""Ablations: many variants of one experiment, trained and evaluated in parallel, in one table."""
