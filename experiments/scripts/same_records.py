"""Whether two runs have the same scores, bit for bit: `python experiments/scripts/same_records.py RUN OTHER`.

For a change that must not change a number: the same command at a fixed seed, before and after it.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

SCORES = ("frames", "J_sum", "F_sum")
LEFT_OUT = (*SCORES, "J", "F", "seconds", "visible", "J_visible_sum", "F_visible_sum")


def scores(run: Path) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The scores of each record by what identifies it; also of runs whose results lay in the run folder itself."""
    path = next(path for path in (run / "results" / "records.csv", run / "records.csv") if path.is_file())
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in LEFT_OUT]
    return {tuple(row[name] for name in names): tuple(row[name] for name in SCORES) for row in rows}


def main() -> int:
    first, second = (scores(Path(run)) for run in sys.argv[1:3])
    alone = len(first.keys() ^ second.keys())
    different = sum(first[key] != second[key] for key in first.keys() & second.keys())
    sys.stdout.write(f"{len(first)} and {len(second)} records, {alone} in one run only, {different} different\n")
    return int(alone + different > 0)


if __name__ == "__main__":
    sys.exit(main())
