"""The experiments and parts of experiments that come with the project, found from any working folder."""

import os
from pathlib import Path

FOLDERS = ("configs", "experiments")  # side by side, since files of the one extend files of the other
_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "shipped"  # where setup.py puts the two folders in a wheel


def own_or_shipped(name: Path | str, beside: Path = Path()) -> Path:
    """The file `name`, relative to the folder `beside`; where there is none, the project's own file of that name."""
    own = beside / name
    if os.path.exists(own) or next(iter(Path(name).parts), None) not in FOLDERS:
        return own
    shipped = (_INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent) / name
    return shipped if os.path.isfile(shipped) else own
