"""Mini-Ref-Glyphs: a small benchmark of moving pictograms, written in the Mini-Ref-YouTube-VOS layout.

Each video is 2 x 2, two classes by two values of one attribute: neither the words nor the class alone tells the object.
"""

from episodes.glyphs.config import GlyphsConfig, GlyphsError
from episodes.glyphs.writing import write_glyphs

__all__ = ["GlyphsConfig", "GlyphsError", "write_glyphs"]
