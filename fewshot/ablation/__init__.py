"""Ablations: many variants of one experiment, trained and evaluated beside each other, in one table."""
