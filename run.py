"""Command line of the project: `python run.py --help`."""

import sys

from fewshot.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
