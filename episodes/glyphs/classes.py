"""The 48 classes: an everyday name and the character of DejaVu Sans that draws it.

Ids run from left to right; column g is group g, which tests the ids with (id - 1) % 4 == g - 1. Look-alikes (heart and
spade, castle and pawn, gear and sun, domino and keyboard) share a column: then no novel class has a base twin.
"""

_ROWS: tuple[tuple[tuple[str, int], ...], ...] = (
    (("umbrella", 0x2602), ("airplane", 0x2708), ("star", 0x2605), ("cloud", 0x2601)),
    (("cat", 0x1F431), ("gear", 0x2699), ("envelope", 0x2709), ("dice", 0x2684)),
    (("castle", 0x265C), ("cow", 0x1F42E), ("skull", 0x2620), ("pencil", 0x270E)),
    (("anchor", 0x2693), ("teacup", 0x2615), ("flower", 0x273F), ("vase", 0x26B1)),
    (("heart", 0x2665), ("radiation symbol", 0x2622), ("hammer", 0x2692), ("smiley", 0x263A)),
    (("snowman", 0x2603), ("scissors", 0x2702), ("domino", 0x1F053), ("wheelchair", 0x267F)),
    (("telephone", 0x260E), ("knight", 0x265E), ("crown", 0x265B), ("warning sign", 0x26A0)),
    (("mouse", 0x1F42D), ("music note", 0x266B), ("clover", 0x2618), ("hand", 0x261B)),
    (("pawn", 0x265F), ("sun", 0x2600), ("lightning", 0x26A1), ("recycling sign", 0x267B)),
    (("snowflake", 0x2744), ("house", 0x2302), ("scales", 0x2696), ("diamond", 0x2666)),
    (("flag", 0x2691), ("moon", 0x263E), ("monkey", 0x1F435), ("coins", 0x26C3)),
    (("spade", 0x2660), ("biohazard", 0x2623), ("keyboard", 0x2328), ("yin yang", 0x262F)),
)

CHARACTERS: dict[str, int] = {name: code for row in _ROWS for name, code in row}
CLASS_NAMES: tuple[str, ...] = tuple(CHARACTERS)
GROUPS: tuple[tuple[str, ...], ...] = tuple(CLASS_NAMES[column::4] for column in range(4))
