"""Checkpoints of the published layout: layout, files, conversion both ways."""
