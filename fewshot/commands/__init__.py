"""What each command does with its arguments. Handlers import what they need: `--help` answers at once."""
