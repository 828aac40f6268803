"""placeholder"""
from pathlib import Path
def contact_sheet(root: Path, out_png: Path) -> None:
    raise NotImplementedError
