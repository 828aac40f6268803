"""What lies in a run folder, and what a run is built from."""
