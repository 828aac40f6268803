"""Mini-Ref-Glyphs: a small benchmark of moving pictograms, written in the Mini-Ref-YouTube-VOS layout.

Most videos are 2 x 2, two classes by two values of one attribute: neither the attribute nor the class alone identifies
the object. In some the class name does (`name_only`).
"""

from episodes.glyphs.config import GlyphsConfig, GlyphsError
from episodes.glyphs.writing import write_glyphs

__all__ = ["GlyphsConfig", "GlyphsError", "write_glyphs"]
