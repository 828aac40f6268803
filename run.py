"""Command line of the project: `python run.py --help`."""

import os
import sys

from fewshot.cli import main

if __name__ == "__main__":
    # Before torch is loaded: threads that spin while they wait make training several times slower beside other work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(sys.argv[1:]))
