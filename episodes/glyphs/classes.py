"""The 48 classes: an everyday name and the character of DejaVu Sans that draws it.

Group g tests the ids with (id - 1) % 4 == g - 1, so the list is dealt out from four columns. Look-alikes (heart and
spade, castle and pawn, gear and sun, domino and keyboard) share a column: then no novel class has a base twin.
"""

_COLUMNS: tuple[tuple[tuple[str, int], ...], ...] = (
    (
        ("umbrella", 0x2602),
        ("cat", 0x1F431),
        ("castle", 0x265C),
        ("anchor", 0x2693),
        ("heart", 0x2665),
        ("snowman", 0x2603),
        ("telephone", 0x260E),
        ("mouse", 0x1F42D),
        ("pawn", 0x265F),
        ("snowflake", 0x2744),
        ("flag", 0x2691),
        ("spade", 0x2660),
    ),
    (
        ("airplane", 0x2708),
        ("gear", 0x2699),
        ("cow", 0x1F42E),
        ("teacup", 0x2615),
        ("radiation symbol", 0x2622),
        ("scissors", 0x2702),
        ("knight", 0x265E),
        ("music note", 0x266B),
        ("sun", 0x2600),
        ("house", 0x2302),
        ("moon", 0x263E),
        ("biohazard", 0x2623),
    ),
    (
        ("star", 0x2605),
        ("envelope", 0x2709),
        ("skull", 0x2620),
        ("flower", 0x273F),
        ("hammer", 0x2692),
        ("domino", 0x1F053),
        ("crown", 0x265B),
        ("clover", 0x2618),
        ("lightning", 0x26A1),
        ("scales", 0x2696),
        ("monkey", 0x1F435),
        ("keyboard", 0x2328),
    ),
    (
        ("cloud", 0x2601),
        ("dice", 0x2684),
        ("pencil", 0x270E),
        ("vase", 0x26B1),
        ("smiley", 0x263A),
        ("wheelchair", 0x267F),
        ("warning sign", 0x26A0),
        ("hand", 0x261B),
        ("recycling sign", 0x267B),
        ("diamond", 0x2666),
        ("coins", 0x26C3),
        ("yin yang", 0x262F),
    ),
)

GROUPS: tuple[tuple[str, ...], ...] = tuple(tuple(name for name, _ in column) for column in _COLUMNS)
CLASS_NAMES: tuple[str, ...] = tuple(column[row][0] for row in range(12) for column in _COLUMNS)
CHARACTERS: dict[str, int] = {name: code for column in _COLUMNS for name, code in column}
