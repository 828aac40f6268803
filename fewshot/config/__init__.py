"""The experiment's config: its sections, the YAML documents it is read from, and messages about faults in it."""
