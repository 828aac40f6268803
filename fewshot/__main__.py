"""Command line of the project from any folder: `python -m fewshot --help`."""

import sys

from fewshot.cli import main

if __name__ == "__main__":
    sys.exit(main())
