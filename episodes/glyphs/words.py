"""Sentences. Each names one attribute value, always as whole words, and no other fact about the object.

A value has several phrases, before the name or after it. Left and right are words of their own (a mirrored picture
swaps them), and no template holds a class name or one of its words.
"""

from episodes.generated.draws import Draws
from episodes.glyphs.appearance import COLOURS

NAME = "name"  # the attribute of videos in which the class name alone identifies the object

_BEFORE: dict[tuple[str, str], tuple[str, ...]] = {
    ("size", "large"): ("large", "big", "larger", "bigger"),
    ("size", "small"): ("small", "little", "smaller", "tiny"),
    ("texture", "plain"): ("plain", "unpatterned", "single-tone"),
    ("texture", "striped"): ("striped", "stripy"),
    ("texture", "dotted"): ("dotted", "spotted"),
    ("texture", "checkered"): ("checkered", "chequered"),
    ("position", "left"): ("left",),
    ("position", "right"): ("right",),
    ("position", "top"): ("upper", "top"),
    ("position", "bottom"): ("lower", "bottom"),
    **{("colour", colour): (colour,) for colour in COLOURS},
}

_AFTER: dict[tuple[str, str], tuple[str, ...]] = {
    ("size", "large"): ("of large size", "that is bigger than the other one"),
    ("size", "small"): ("of small size", "that is smaller than the other one"),
    ("texture", "plain"): ("without any pattern", "that has no pattern", "with a plain surface"),
    ("texture", "striped"): ("with stripes", "that is covered in stripes", "with a striped pattern"),
    ("texture", "dotted"): ("with dots", "that is covered in dots", "with a dotted pattern"),
    ("texture", "checkered"): ("with checks", "that is covered in checks", "with a checkered pattern"),
    ("position", "left"): ("on the left", "that is on the left side", "at the left of the picture"),
    ("position", "right"): ("on the right", "that is on the right side", "at the right of the picture"),
    ("position", "top"): ("at the top", "that is in the upper half", "near the top of the picture"),
    ("position", "bottom"): ("at the bottom", "that is in the lower half", "near the bottom of the picture"),
    ("motion", "left"): ("moving left", "that drifts to the left", "going to the left", "that moves left"),
    ("motion", "right"): ("moving right", "that drifts to the right", "going to the right", "that moves right"),
    ("motion", "up"): ("moving up", "that drifts upwards", "going up", "that moves up"),
    ("motion", "down"): ("moving down", "that drifts downwards", "going down", "that moves down"),
    **{
        ("colour", colour): (f"that is painted {colour}", f"in {colour}", f"that is {colour}", f"of {colour} colour")
        for colour in COLOURS
    },
}

_NAME_ONLY = ("the {name}", "{name}", "the {name} in the picture", "the only {name}")


def sentences(category: str, attribute: str, value: str, count: int, draws: Draws) -> tuple[str, ...]:
    """`count` different sentences for an object, or all there are if there are fewer."""
    if attribute == NAME:
        texts = [template.format(name=category) for template in _NAME_ONLY]
    else:
        before, after = _BEFORE.get((attribute, value), ()), _AFTER[attribute, value]
        texts = [f"the {phrase} {category}" for phrase in before]
        texts += [f"{phrase} {category}" for phrase in before]
        texts += [f"the {category} {phrase}" for phrase in after]
        texts += [f"{category} {phrase}" for phrase in after]
    return tuple(draws.shuffled(texts)[:count])
