"""The Mini-Ref-SAIL-VOS folder layout in two forms: what the release's code reads, and what its README shows.

    ROOT/Images/<video>/<frame>.bmp                   (or ROOT/train/JPEGImages/<video>/<frame>.bmp, .jpg or .png)
    ROOT/Annotations/<video>/<frame>.png              (or ROOT/train/Annotations/...)
    ROOT/meta.json                                    (or ROOT/train/train.json, ROOT/train/meta.json)
    ROOT/meta_expressions.json                        (or ROOT/meta_expressions/train/meta_expressions.json)

The JSON files hold what those of Mini-Ref-YouTube-VOS hold.
"""

from pathlib import Path

from episodes.readers.index import Layout, categories

SAIL_CLASSES = ("dog", "car", "person")  # ids 1 to 3
SAIL_FOLDERS = ("mini-SAIL-VOS", "Mini-Ref-SAIL-VOS")  # the release spells its own folder in two ways
SUFFIXES = (".bmp", ".jpg", ".png")


def sailvos_layout(root: Path) -> Layout:
    """Where a folder of this layout keeps what, in whichever of the two forms it is there."""
    nested = (root / "train").is_dir()
    base = root / "train" if nested else root
    frames = base / ("JPEGImages" if nested else "Images")
    return Layout(
        root=root,
        frames=frames,
        frame_suffix=_suffix(frames),
        masks=base / "Annotations",
        meta=(base / "meta.json", base / "train.json"),
        expressions=(
            root / "meta_expressions/train/meta_expressions.json",
            root / "meta_expressions/meta_expressions.json",
            root / "meta_expressions.json",
        )
        if nested
        else (root / "meta_expressions.json",),
        class_file=base / "classes.json",
        classes=SAIL_CLASSES,
    )


def is_sailvos(root: Path) -> bool:
    """Does the folder hold this benchmark? LayoutError if its index is broken.

    A folder with train/ has the form of Mini-Ref-YouTube-VOS too. It is of this benchmark if it bears one of its names,
    or if the index names a car, which the other benchmark's 48 classes lack, and nothing beside the three classes.
    """
    train = root / "train"
    if not train.is_dir():
        return (root / "Images").is_dir()
    if root.resolve().name.lower() in {name.lower() for name in SAIL_FOLDERS}:
        return True
    found = categories(train / "meta.json", train / "train.json")
    return "car" in found and found <= set(SAIL_CLASSES)


def _suffix(frames: Path) -> str:
    """How the frames' files end: as the first picture of the first video does; .bmp where there is none."""
    for video in sorted(frames.iterdir()) if frames.is_dir() else ():
        for file in sorted(video.iterdir()) if video.is_dir() else ():
            if file.suffix.lower() in SUFFIXES:
                return file.suffix
    return SUFFIXES[0]
