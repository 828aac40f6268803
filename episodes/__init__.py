"""Everything before tensors reach a model: benchmarks on disk, the episodes drawn from them, their pictures."""
