"""Sentences of composed clips. Each names one attribute value, or the object's caption, and nothing else.

Every sentence holds the class name as whole words. Left and right are words of their own (a mirrored picture swaps
them).
"""

from episodes.generated.draws import Draws

NAME = "name"  # the attribute of videos in which the class name alone identifies each object
CAPTION = "caption"

# Hue in OpenCV's half degrees, by name; tinted objects have it.
HUES = {"red": 0, "orange": 13, "yellow": 27, "green": 58, "blue": 110, "purple": 138, "pink": 163}

_BEFORE: dict[tuple[str, str], tuple[str, ...]] = {
    ("size", "large"): ("larger", "bigger"),
    ("size", "small"): ("smaller",),
    ("position", "left"): ("left",),
    ("position", "right"): ("right",),
    ("position", "top"): ("upper", "top"),
    ("position", "bottom"): ("lower", "bottom"),
    **{("colour", colour): (colour,) for colour in HUES},
}
_AFTER: dict[tuple[str, str], tuple[str, ...]] = {
    ("size", "large"): ("that is larger than the other one", "that looks bigger"),
    ("size", "small"): ("that is smaller than the other one", "that looks smaller"),
    ("position", "left"): ("on the left", "that is on the left side", "to the left of the other one"),
    ("position", "right"): ("on the right", "that is on the right side", "to the right of the other one"),
    ("position", "top"): ("at the top", "that is higher up", "above the other one"),
    ("position", "bottom"): ("at the bottom", "that is lower down", "below the other one"),
    ("motion", "left"): ("moving left", "that moves to the left", "going left"),
    ("motion", "right"): ("moving right", "that moves to the right", "going right"),
    ("motion", "up"): ("moving up", "that moves upwards", "going up"),
    ("motion", "down"): ("moving down", "that moves downwards", "going down"),
    **{("colour", colour): (f"in {colour}", f"that is {colour}") for colour in HUES},
}
_NAME_ONLY = ("the {name}", "{name}", "the {name} in the picture")


def sentence(category: str, caption: str, attribute: str, value: str, draws: Draws) -> str:
    """The sentence of one object; `caption` is read where the attribute is CAPTION, `value` otherwise."""
    if attribute == NAME:
        return draws.pick(_NAME_ONLY).format(name=category)
    if attribute == CAPTION:
        if f" {category} " in f" {caption} ":
            return f"the {caption}"
        article = "an" if caption[:1].lower() in "aeiou" else "a"
        return draws.pick((f"the {category} that is {article} {caption}", f"{category}, {article} {caption}"))
    texts = [f"the {phrase} {category}" for phrase in _BEFORE.get((attribute, value), ())]
    texts += [f"the {category} {phrase}" for phrase in _AFTER[attribute, value]]
    return draws.pick(texts)


def value_pair(attribute: str, draws: Draws) -> tuple[str, str]:
    """Two values of the attribute that a person tells apart at a glance, in random order."""
    if attribute == "colour":
        first = draws.pick(list(HUES))
        far = [name for name, hue in HUES.items() if abs((hue - HUES[first] + 90) % 180 - 90) >= 40]
        return first, draws.pick(far)
    pairs = {
        "size": [("large", "small")],
        "position": [("left", "right"), ("left", "right"), ("top", "bottom")],
        "motion": [("left", "right"), ("left", "right"), ("up", "down")],
    }[attribute]
    first, second = draws.pick(pairs)
    return (second, first) if draws.chance(0.5) else (first, second)
