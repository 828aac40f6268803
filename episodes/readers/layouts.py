"""The folder layouts of the two published benchmarks. Their JSON files hold the same.

Mini-Ref-YouTube-VOS, and the embedded benchmark:

    ROOT/train/JPEGImages/<video>/<frame>.jpg
    ROOT/train/Annotations/<video>/<frame>.png        palette PNG, pixel value = object id
    ROOT/train/meta.json (or train.json)              {"videos": {v: {"objects": {id: {"category", "frames"}}}}}
    ROOT/train/classes.json (optional)                ordered class names; without it, the 48 official ones
    ROOT/meta_expressions/train/meta_expressions.json {"videos": {v: {"frames", "expressions": {e: {"exp", "obj_id"}}}}}

Mini-Ref-SAIL-VOS in two forms, what the release's code reads and what its README shows:

    ROOT/Images/<video>/<frame>.bmp                   (or ROOT/train/JPEGImages/<video>/<frame>.bmp, .jpg or .png)
    ROOT/Annotations/<video>/<frame>.png              (or ROOT/train/Annotations/...)
    ROOT/meta.json                                    (or ROOT/train/train.json, ROOT/train/meta.json)
    ROOT/meta_expressions.json                        (or ROOT/meta_expressions/train/meta_expressions.json)
"""

from pathlib import Path

from episodes.readers.index import Layout, categories

_OFFICIAL = """
    hat plant hand horse raccoon squirrel bus boat crocodile penguin motorbike truck hedgehog lion earless_seal whale
    elephant mouse snail camel shark giraffe tiger frog cat dolphin cow dog bear zebra airplane leopard fox turtle deer
    train sedan sheep fish bird rabbit duck snake monkey parrot lizard giant_panda person
"""
OFFICIAL_CLASSES = tuple(_OFFICIAL.split())
SAIL_CLASSES = ("dog", "car", "person")  # ids 1 to 3
SAIL_SUFFIXES = (".bmp", ".jpg", ".png")
YTVOS_FOLDERS = ("mini-ref-youtube-vos", "Mini-Ref-YouTube-VOS")  # the releases spell their own folders in two ways
SAIL_FOLDERS = ("mini-SAIL-VOS", "Mini-Ref-SAIL-VOS")


def ytvos_layout(root: Path) -> Layout:
    """Where a folder of this layout keeps what."""
    train = root / "train"
    return Layout(
        root=root,
        frames=train / "JPEGImages",
        frame_suffix=".jpg",
        masks=train / "Annotations",
        meta=(train / "meta.json", train / "train.json"),
        expressions=(root / "meta_expressions/train/meta_expressions.json",),
        class_file=train / "classes.json",
        classes=OFFICIAL_CLASSES,
    )


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
    suffixes = (file.suffix for video in sorted(frames.glob("*")) for file in sorted(video.glob("*")))
    return next((suffix for suffix in suffixes if suffix.lower() in SAIL_SUFFIXES), SAIL_SUFFIXES[0])
