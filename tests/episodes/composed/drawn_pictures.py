"""Folders of drawn pictures: coloured shapes with noise as cut-outs, noisy gradients as photographs."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

CLASSES = ("ant", "barrel", "coat", "drum", "eagle", "fork", "globe", "harp", "ink", "jar", "kite", "leek")
_SIDES = (3, 4, 5, 6, 8, 12, 30, 7, 9, 10, 11, 14)


def write_objects(folder: Path, classes: tuple[str, ...] = CLASSES, members: int = 2) -> Path:
    """`members` cut-outs of each class, 80 x 60 pixels: polygons of the class's number of corners."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for member in range(members):
            rng = np.random.default_rng([number, member])
            angles = np.linspace(0, 2 * np.pi, _SIDES[number], endpoint=False) + 0.4 * member
            points = np.stack([40 + 36 * np.cos(angles), 30 + 27 * np.sin(angles)], axis=1)
            rgba = np.zeros((60, 80, 4), np.uint8)
            rgba[..., :3] = np.clip(rng.integers(40, 200, 3) + rng.normal(0, 20, (60, 80, 3)), 0, 255)
            alpha = np.zeros((60, 80), np.uint8)
            cv2.fillPoly(alpha, [np.rint(points).astype(np.int32)], 255)
            rgba[..., 3] = alpha
            Image.fromarray(rgba).save(folder / name / f"{name}-{member}.png")
            (folder / name / f"{name}-{member}.txt").write_text(f"A {('pale', 'dark', 'odd')[member]} {name}.\n")
    return folder


def write_stills(folder: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """A photograph with a mask of each class, 200 x 140 pixels: an ellipse on noise."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        rng = np.random.default_rng([7, number])
        mask = np.zeros((140, 200), np.uint8)
        cv2.ellipse(mask, (100, 70), (45 + 3 * number, 40), 0, 0, 360, 255, -1)
        picture = np.clip(rng.normal(120, 25, (140, 200, 3)) + (mask[..., None] > 0) * rng.integers(-80, 80, 3), 0, 255)
        Image.fromarray(picture.astype(np.uint8)).save(folder / name / "photo.jpg", quality=92)
        Image.fromarray(mask > 0).save(folder / name / "photo.png")
    return folder


def write_backgrounds(folder: Path, count: int = 3, width: int = 220, height: int = 150) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng([9, number])
        coarse = rng.integers(0, 255, (5, 7, 3)).astype(np.uint8)
        picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
        Image.fromarray(np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)).save(
            folder / f"place-{number}.jpg"
        )
    return folder
