"""The network: frozen trunk and trainable head. Nothing here knows a path of a data set or a YAML file."""
