"""The network: frozen trunk and trainable head. Nothing here knows a path of a benchmark or a YAML file."""
