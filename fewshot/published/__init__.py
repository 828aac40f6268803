"""Checkpoints of the published layout: names, layout, files, conversion both ways."""
