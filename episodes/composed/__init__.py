"""Composed clips: cut-out pictures that move over photographs, written in the Mini-Ref-YouTube-VOS layout.

Most clips are 2 x 2, two classes by two values of one attribute: neither the attribute nor the class alone identifies
the object. Others are natural photographs seen by a moving camera, and mosaics of two such clips side by side.
"""

from episodes.composed.config import ComposedConfig, ComposedError
from episodes.composed.writing import write_composed

__all__ = ["ComposedConfig", "ComposedError", "write_composed"]
