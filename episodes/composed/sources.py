"""Pictures that others publish -> a folder of cut-outs. `lists/<kind>.csv` names which of them, of which class.

* fluent-emoji: rendered objects, the folder `package/assets` of npm's @lobehub/fluent-emoji-3d, or one above it.
* tuxpaint-stamps: photographs, Debian's tuxpaint-stamps-default unpacked (`usr/share/tuxpaint/stamps` or above).
* sweethome3d-furniture: previews of 3-D models, Debian's sweethome3d-furniture unpacked (`*.sh3f`, zip archives).
"""

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from episodes.composed.config import ComposedError
from episodes.composed.pictures import CAPTIONS

LISTS = Path(__file__).parent / "lists"
_LONGEST = 360  # pixels of a written cut-out


@dataclass(frozen=True)
class Source:
    """How the package is had, and how a path of its list is opened below the folder where the list's paths begin."""

    package: str
    open: Callable[[Path, str], Image.Image]


def _open_file(folder: Path, path: str) -> Image.Image:
    return Image.open(folder / path)


def _open_member(folder: Path, path: str) -> Image.Image:
    archive, _, member = path.partition("/")
    with zipfile.ZipFile(folder / archive) as pack:
        return Image.open(io.BytesIO(pack.read(member)))


SOURCES = {
    "fluent-emoji": Source("npm pack @lobehub/fluent-emoji-3d@1.1.0", _open_file),
    "tuxpaint-stamps": Source("apt-get download tuxpaint-stamps-default", _open_file),
    "sweethome3d-furniture": Source("apt-get download sweethome3d-furniture", _open_member),
}


def write_cutouts(kind: str, source: Path, out: Path) -> int:
    """Copies the listed pictures as `OUT/<class>/<name>.png`, with their captions; returns how many.

    Raises ComposedError if `source` lacks one of them, or `out` exists and is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ComposedError(f"{out} is not an empty folder; give a new one")
    rows = list(_rows(LISTS / f"{kind}.csv"))
    folder = _folder(kind, source, rows[0][0])
    captions = [("path", "class", "caption")]
    for path, category, caption in rows:
        flat = path.replace("/", "-")
        name = f"{category.replace(' ', '_')}/{flat.rsplit('.', 1)[0]}.png"
        try:
            image = SOURCES[kind].open(folder, path).convert("RGBA")
        except (OSError, KeyError) as error:
            raise ComposedError(f"{folder}: {path} cannot be read ({error}); is it another version?") from error
        image.thumbnail((_LONGEST, _LONGEST))
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(out / name)
        captions.append((name, category, caption or _stamp_caption(folder / path)))
    with (out / CAPTIONS).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(captions)
    return len(rows)


def _rows(file: Path) -> Iterator[tuple[str, str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield row["path"], row["class"], row["caption"]


def _folder(kind: str, source: Path, sample: str) -> Path:
    """The folder below `source` from which the list's paths lead to files."""
    first = sample.partition("/")[0] if kind == "sweethome3d-furniture" else sample
    candidates = sorted(source.rglob(Path(first).name)) if source.is_dir() else []
    for path in candidates:
        folder = path.parents[len(Path(first).parts) - 1]
        if (folder / first).is_file():
            return folder
    raise ComposedError(
        f"{source}: holds no {first} of {kind}; give the unpacked package ({SOURCES[kind].package}; docs/data.md)"
    )


def _stamp_caption(picture: Path) -> str:
    """The first line of the text beside a stamp, as a noun phrase."""
    line = picture.with_suffix(".txt").read_text("utf-8").splitlines()[0].strip().rstrip(".!")
    words = line.split()
    return " ".join(words[1:] if words[0] in ("A", "An", "The") else words)
