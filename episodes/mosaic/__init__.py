"""Mosaics: two videos of different classes side by side, so that the support decides what is meant, not saliency."""

from episodes.mosaic.pairing import Half, Mosaic, MosaicError, Plan, plan_mosaics
from episodes.mosaic.writing import write_mosaics

__all__ = ["Half", "Mosaic", "MosaicError", "Plan", "plan_mosaics", "write_mosaics"]
