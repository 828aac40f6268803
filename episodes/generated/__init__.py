"""What the generators of benchmarks share: random choices, pairs of classes, the folder that is written."""
