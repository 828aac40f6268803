"""Folders of pictures -> a library: which objects, photographs and backgrounds there are, their classes and captions.

Objects: PNG or WebP with alpha. A file `captions.csv` (columns path, class, caption) at the folder's root lists the
pictures to use; without it the class is the sub-folder's name, and the caption the first line of a `.txt` file beside
the picture, or else the file's name in words. Stills: `<class>/<name>.jpg` with `<name>.png`, the mask of its object.
"""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from episodes.composed.config import ComposedConfig, ComposedError
from episodes.files import file_digest

SHIPPED = Path(__file__).parent / "pictures"
CAPTIONS = "captions.csv"
MOST_WORDS = 64  # of a caption; what the text encoder takes
GROUPS = 4
_ENLARGED = 2  # a background may be smaller than the frame by this factor
_OBJECTS = (".png", ".webp")
_PHOTOGRAPHS = (".jpg", ".jpeg", ".webp", ".png")


@dataclass(frozen=True)
class Picture:
    """One object: a cut-out whose alpha is its shape, or (`mask` given) a photograph that shows it.

    `caption` is a noun phrase without article, or "" where nothing more than the class is known.
    """

    path: Path
    category: str
    caption: str
    mask: Path | None = None


@dataclass(frozen=True)
class Library:
    """Pictures of each class (cut-outs first, then stills), in the order of class ids; `digest` of all files read."""

    classes: dict[str, tuple[Picture, ...]]
    backgrounds: tuple[Path, ...]
    digest: str

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Class (id - 1) % 4 == g belongs to group g + 1, as every reader has it."""
        names = list(self.classes)
        return tuple(tuple(names[group::GROUPS]) for group in range(GROUPS))


def read_library(config: ComposedConfig) -> Library:
    """Reads and checks every picture. Raises ComposedError with the file, and what to do, if one cannot be used."""
    objects, stills, backgrounds = config.objects, config.stills, config.backgrounds
    if not objects and not stills and not backgrounds:
        objects, backgrounds = (SHIPPED / "objects",), (SHIPPED / "backgrounds",)
    if not objects and not stills:
        raise ComposedError("no folder of objects or stills: give --objects FOLDER, --stills FOLDER, or both")
    if not backgrounds:
        raise ComposedError("no folder of backgrounds: give --backgrounds FOLDER, with photographs of places")
    pictures = [picture for folder in objects for picture in _read_objects(folder)]
    pictures += [picture for folder in stills for picture in _read_stills(folder)]
    pictures = [picture for picture in pictures if picture.category not in config.without]
    photographs = [path for folder in backgrounds for path in _files(folder, _PHOTOGRAPHS)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_check_object, pictures))
        list(pool.map(lambda path: _check_background(path, config.width, config.height), photographs))
    classes = _classes(pictures, config.small_classes)
    files = [path for picture in pictures for path in (picture.path, picture.mask) if path is not None]
    captions = [f"{picture.category}|{picture.caption}" for picture in pictures]
    return Library(classes, tuple(photographs), _digest([*files, *photographs], captions))


def _read_objects(folder: Path) -> Iterator[Picture]:
    sidecar = folder / CAPTIONS
    if not sidecar.is_file():
        for path in _files(folder, _OBJECTS):
            yield Picture(path, _category(path, folder), _caption(path))
        return
    with sidecar.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if not {"path", "class"} <= set(rows.fieldnames or ()):
            raise ComposedError(f"{sidecar}: needs the columns path, class and caption, found {rows.fieldnames}")
        for line, row in enumerate(rows, start=2):
            name, category, caption = (str(row.get(key) or "").strip() for key in ("path", "class", "caption"))
            if not category:
                raise ComposedError(f"{sidecar}, line {line}: the class of {name!r} is missing; write its name")
            if not (folder / name).is_file():
                raise ComposedError(f"{sidecar}, line {line}: there is no picture {folder / name}; correct the path")
            yield Picture(folder / name, category, _checked_caption(caption, sidecar))


def _read_stills(folder: Path) -> Iterator[Picture]:
    for path in _files(folder, (".jpg", ".jpeg")):
        mask = path.with_suffix(".png")
        if not mask.is_file():
            raise ComposedError(f"{path}: has no mask {mask.name} beside it; add one, white where the object is")
        yield Picture(path, _category(path, folder), _caption(path), mask)


def _files(folder: Path, endings: Sequence[str]) -> list[Path]:
    if not folder.is_dir():
        raise ComposedError(f"{folder}: no such folder of pictures; correct the path")
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    if not pictures:
        raise ComposedError(f"{folder}: holds no picture ({', '.join(endings)}); give another folder")
    return pictures


def _category(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).parts
    if len(parts) < 2:
        raise ComposedError(
            f"{path}: lies in no class folder; move it to {folder}/<class>/{path.name}, "
            f"or list it with its class in {folder / CAPTIONS}"
        )
    return parts[0].replace("_", " ")


def _caption(path: Path) -> str:
    """The first line of the text beside the picture, without article and full stop; else the file's name in words."""
    text = path.with_suffix(".txt")
    if not text.is_file():
        words = path.stem.replace("_", " ").replace("-", " ").split()
        return " ".join(word for word in words if not word.isdigit())
    lines = text.read_text("utf-8").splitlines()
    line = lines[0].strip() if lines else ""
    if not line:
        raise ComposedError(f"{text}: its first line, the caption of {path.name}, is empty; write one or remove it")
    return _checked_caption(line, text)


def _checked_caption(line: str, file: Path) -> str:
    words = line.rstrip(".!").split()
    if len(words) > MOST_WORDS:
        raise ComposedError(
            f"{file}: the caption '{' '.join(words[:6])} ...' has {len(words)} words, and the text encoder takes "
            f"{MOST_WORDS}; shorten it"
        )
    return " ".join(words[1:] if words[:1] and words[0].lower() in ("a", "an", "the") else words)


def _check_object(picture: Picture) -> None:
    if picture.mask is not None:
        with Image.open(picture.path) as photograph, Image.open(picture.mask) as mask:
            if photograph.size != mask.size:
                raise ComposedError(
                    f"{picture.mask}: the mask has {mask.width} x {mask.height} pixels and its photograph "
                    f"{photograph.width} x {photograph.height}; make them equal"
                )
            if not np.asarray(mask.convert("L")).any():
                raise ComposedError(f"{picture.mask}: the mask is empty; mark the object in white, or remove both")
        return
    with Image.open(picture.path) as image:
        if "A" not in image.getbands() and "transparency" not in image.info:
            raise ComposedError(
                f"{picture.path}: has no alpha channel (mode {image.mode}); cut the object out, or use it as a still"
            )
        if not (np.asarray(image.convert("RGBA"))[..., 3] > 127).any():
            raise ComposedError(f"{picture.path}: its alpha is empty, nothing of the object is opaque; remove it")


def _check_background(path: Path, width: int, height: int) -> None:
    """A smaller photograph is enlarged, at most by _ENLARGED."""
    with Image.open(path) as image:
        if _ENLARGED * image.width < width or _ENLARGED * image.height < height:
            raise ComposedError(
                f"{path}: the background has {image.width} x {image.height} pixels, too few for frames of "
                f"{width} x {height}: enlarged {_ENLARGED} times it would not fill them; remove it, or give smaller "
                "width and height"
            )


def _classes(pictures: Iterable[Picture], small: str) -> dict[str, tuple[Picture, ...]]:
    classes: dict[str, list[Picture]] = {}
    for picture in pictures:
        classes.setdefault(picture.category, []).append(picture)
    single = sorted(name for name, members in classes.items() if len(members) < 2)
    if single and small == "reject":
        raise ComposedError(
            f"{len(single)} of {len(classes)} classes have fewer than two objects: {', '.join(single[:8])}"
            f"{' ...' if len(single) > 8 else ''}. Add pictures, or choose with small_classes=skip or "
            "small_classes=keep (every video of such a class then shows the same picture)"
        )
    kept = sorted(name for name in classes if small == "keep" or name not in single)
    if len(kept) < 2 * GROUPS:
        raise ComposedError(
            f"the pictures have {len(kept)} usable classes, {', '.join(kept) or 'none'}; a benchmark needs at least "
            f"{2 * GROUPS}, two in each of {GROUPS} groups: add folders of other classes"
        )
    return {name: tuple(classes[name]) for name in kept}


def _digest(files: Sequence[Path], captions: Sequence[str]) -> str:
    """Of the content of all files and of their classes and captions; not of where they lie."""
    with ThreadPoolExecutor(4) as pool:
        return hashlib.sha256("\n".join([*pool.map(file_digest, files), *captions]).encode()).hexdigest()
