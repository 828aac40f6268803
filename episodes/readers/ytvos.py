"""The Mini-Ref-YouTube-VOS folder layout, which the embedded benchmark shares.

ROOT/train/JPEGImages/<video>/<frame>.jpg
ROOT/train/Annotations/<video>/<frame>.png        palette PNG, pixel value = object id
ROOT/train/meta.json (or train.json)              {"videos": {v: {"objects": {id: {"category", "frames"}}}}}
ROOT/train/classes.json (optional)                ordered class names; without it, the 48 official ones
ROOT/meta_expressions/train/meta_expressions.json {"videos": {v: {"frames", "expressions": {e: {"exp", "obj_id"}}}}}
"""

from pathlib import Path

from episodes.readers.index import Layout

_OFFICIAL = """
    hat plant hand horse raccoon squirrel bus boat crocodile penguin motorbike truck hedgehog lion earless_seal whale
    elephant mouse snail camel shark giraffe tiger frog cat dolphin cow dog bear zebra airplane leopard fox turtle deer
    train sedan sheep fish bird rabbit duck snake monkey parrot lizard giant_panda person
"""
OFFICIAL_CLASSES = tuple(_OFFICIAL.split())
YTVOS_FOLDERS = ("mini-ref-youtube-vos", "Mini-Ref-YouTube-VOS")  # the release spells its own folder in two ways


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
