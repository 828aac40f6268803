"""How an object looks: colour, texture, size and line style. The named attribute is given, the rest is chance."""

from dataclasses import dataclass

from episodes.generated.draws import Draws

# Name -> hue in degrees, its spread, and the ranges of saturation and brightness.
COLOURS: dict[str, tuple[float, float, tuple[float, float], tuple[float, float]]] = {
    "red": (0, 5, (0.80, 0.95), (0.75, 0.95)),
    "orange": (27, 4, (0.85, 0.98), (0.88, 1.0)),
    "yellow": (53, 4, (0.80, 0.95), (0.88, 1.0)),
    "green": (120, 16, (0.65, 0.90), (0.50, 0.75)),
    "blue": (222, 10, (0.70, 0.92), (0.70, 0.95)),
    "purple": (277, 8, (0.60, 0.85), (0.55, 0.78)),
    "pink": (326, 7, (0.42, 0.62), (0.92, 1.0)),
}
_FAR_HUES = 80  # two named colours in a video differ at least by this many degrees
TEXTURES = ("plain", "striped", "dotted", "checkered")
# Ranges of sqrt(width * height) as a share of the frame, by named size or else by attribute.
_SIZES = {
    "large": (0.42, 0.46),
    "small": (0.22, 0.235),
    "texture": (0.36, 0.44),  # large enough for its pattern
    "motion": (0.29, 0.37),  # leaves room to move in its quarter
}


@dataclass(frozen=True)
class Appearance:
    """Constant over the video; `size` is sqrt(width * height) of the silhouette's box as a share of the frame.

    `colour` is a name of COLOURS and (hue degrees, saturation, value) its exact tint. `dark_lines` tells whether the
    drawing's lines are darker or paler than its body. `stroke` and `rim` are line widths in pixels of a 128 px frame.
    """

    size: float
    colour: str
    tint: tuple[float, float, float]
    texture: str
    grain: float  # texture period, times the standard one
    grain_turn: float  # direction of the texture, tangent of the half angle
    dark_lines: bool
    stroke: float
    rim: float
    rim_dark: bool


def value_pair(attribute: str, draws: Draws) -> tuple[str, str]:
    """Two values of the attribute that a person tells apart at a glance, in random order."""
    if attribute == "colour":
        names = list(COLOURS)
        first = draws.pick(names)
        second = draws.pick([n for n in names if hue_distance(COLOURS[first][0], COLOURS[n][0]) >= _FAR_HUES])
        return first, second
    pairs = {
        "size": [("large", "small")],
        "texture": [(a, b) for i, a in enumerate(TEXTURES) for b in TEXTURES[i + 1 :]],
        "position": [("left", "right"), ("top", "bottom")],
        "motion": [("left", "right"), ("up", "down")],
    }[attribute]
    first, second = draws.pick(pairs)
    return (second, first) if draws.chance(0.5) else (first, second)


def hue_distance(a: float, b: float) -> float:
    """Degrees between two hues, 0..180."""
    return abs((a - b + 180) % 360 - 180)


def appearance(attribute: str, value: str, draws: Draws) -> Appearance:
    colour = value if attribute == "colour" else draws.pick(list(COLOURS))
    hue, spread, saturation, brightness = COLOURS[colour]
    size = draws.uniform(*_SIZES.get(value if attribute == "size" else attribute, (0.31, 0.43)))
    texture = value if attribute == "texture" else draws.pick((*TEXTURES, "plain"))
    return Appearance(
        size=size,
        colour=colour,
        tint=((hue + draws.uniform(-spread, spread)) % 360, draws.uniform(*saturation), draws.uniform(*brightness)),
        texture=texture,
        grain=draws.uniform(0.88, 1.15),
        grain_turn=draws.uniform(-1, 1),
        dark_lines=draws.chance(0.6),
        stroke=draws.uniform(0, 0.6),
        rim=draws.pick((0.0, 0.75, 1.25, 1.75)),
        rim_dark=draws.chance(0.6),
    )
