"""Makes episodes/composed/pictures/objects and backgrounds, and licences.csv, from the packages that they come from.

    python experiments/scripts/shipped_pictures.py EMOJI FURNITURE HDRI WALLPAPERS

EMOJI and FURNITURE are folders that `data cutouts` wrote (fluent-emoji, sweethome3d-furniture). HDRI is `package/hdri`
of @pmndrs/assets 1.7.0 (npm), WALLPAPERS `usr/share/backgrounds` of lomiri-wallpapers-16.04 (Debian). Needs OpenEXR,
which is no requirement of the project. The pictures are in the repository: this is the record of how they were made.
"""

import base64
import csv
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
from PIL import Image

OUT = Path("episodes/composed/pictures")
LISTS = Path("episodes/composed/lists")
FEWEST, MOST, SIDE = 4, 12, 160  # objects of a class, and their longest side in pixels
# Real clips are evaluated on these; a brand's product is not ours to pass on; cat faces differ by their mood alone.
WITHOUT = {
    *("bird", "duck", "swan", "chicken", "chick", "penguin", "owl", "parrot", "flamingo", "peacock", "turkey"),
    *("heron", "ostrich", "dog", "dog face", "horse", "car", "bicycle", "motorbike", "scooter", "tricycle"),
    *("person", "parachute", "kite", "cat face"),
}
BRANDS = re.compile(r"apple i|ford|peugeot|vw|seat|renault|chevrolet|yamaha|playstation", re.IGNORECASE)
LICENCES = {
    "BlendSwap-CC-0": "CC0-1.0",
    "BlendSwap-CC-BY": "CC-BY-3.0",
    "KatorLegaz": "CC-BY-3.0-US",
    "Scopia": "CC-BY-3.0",
}
WALLPAPERS = {"aitzgorri": "aitzgorri", "picosdeeuropa": "picosdeeuropa", "life": "life", "hill": "sunset"}

Row = tuple[str, str, str, str]  # path, licence, author, source


def objects(emoji: Path, furniture: Path, authors: dict[str, str]) -> Iterator[Row]:
    listed = []
    for kind, folder in (("fluent-emoji", emoji), ("sweethome3d-furniture", furniture)):
        with (LISTS / f"{kind}.csv").open(encoding="utf-8", newline="") as file:
            listed += [(kind, folder, row["path"], row["class"], row["caption"]) for row in csv.DictReader(file)]
    listed = [row for row in listed if row[3] not in WITHOUT and not BRANDS.search(row[4])]
    members = Counter(row[3] for row in listed)
    written: Counter[str] = Counter()
    captions = []
    for kind, folder, path, name, caption in sorted(listed, key=lambda row: (row[0], row[2])):
        if members[name] < FEWEST or written[name] >= MOST:
            continue
        archive = path.split(".")[0]
        stem = re.sub(r"[^a-z0-9-]+", "-", Path(path).stem.lower())
        file = f"{name.replace(' ', '_')}/{'emoji' if kind == 'fluent-emoji' else archive.lower()}-{stem}.webp"
        cutout = folder / name.replace(" ", "_") / f"{path.replace('/', '-').rsplit('.', 1)[0]}.png"
        image = Image.open(cutout).convert("RGBA")
        image = image.crop(image.getchannel("A").point(lambda value: 255 * (value > 24)).getbbox())
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        (OUT / "objects" / file).parent.mkdir(parents=True, exist_ok=True)
        image.save(OUT / "objects" / file, quality=80, alpha_quality=90, method=6)
        written[name] += 1
        captions.append((file, name, caption))
        if kind == "fluent-emoji":
            yield f"objects/{file}", "MIT", "Microsoft", f"{path} of npm @lobehub/fluent-emoji-3d 1.1.0, reduced"
        else:
            source = f"{path} of Debian sweethome3d-furniture 1.8, reduced"
            yield f"objects/{file}", LICENCES[archive], authors[f"objects/{file}"], source
    write_table(OUT / "objects/captions.csv", ("path", "class", "caption"), sorted(captions))


def panoramas(folder: Path) -> Iterator[Row]:
    """Three views of each, 115 degrees wide, tone-mapped."""
    for file in sorted(folder.glob("*.exr.js")):
        name = file.name.removesuffix(".exr.js")
        if name == "studio":  # lamps before a screen: objects
            continue
        light = decoded(file.read_text())
        dark = light.min(axis=-1) <= 0.02
        bright = cv2.dilate(light.max(axis=-1), np.ones((7, 7))) > 6
        skewed = (light.max(axis=-1) > 20 * np.maximum(light.min(axis=-1), 1e-3)) & (light.max(axis=-1) > 4)
        light[skewed | (dark & bright)] = 30  # what compression left of lamps and of the sun
        light = np.maximum(light, 0)
        light = np.minimum(light * (0.22 / np.exp(np.log(light.mean(axis=-1) + 1e-3).mean())), 30)
        picture = np.clip(light * (1 + light / 16) / (1 + light), 0, 1) ** (1 / 2.2)
        for index, (yaw, pitch) in enumerate(((20, 4), (140, -8), (260, 10))):
            shot = np.clip(perspective(picture, yaw, pitch), 0, 1)
            shot = np.clip(shot + 0.4 * (shot - cv2.GaussianBlur(shot, (0, 0), 1.5)), 0, 1)
            path = f"backgrounds/{name}-{index}.jpg"
            cv2.imwrite(str(OUT / path), (shot * 255)[..., ::-1].astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 88])
            yield (
                path,
                "CC0-1.0",
                "Poly Haven",
                f"hdri/{name} of npm @pmndrs/assets 1.7.0, perspective crop, tone-mapped",
            )


def decoded(script: str) -> np.ndarray:
    """(H, W, 3) float32 of the EXR in a JavaScript module."""
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        file.write(base64.b64decode(re.search(r"base64,([A-Za-z0-9+/=]+)", script)[1]))
        file.flush()
        with OpenEXR.File(file.name) as exr:
            return np.nan_to_num(np.asarray(exr.channels()["RGB"].pixels, np.float32), posinf=99)


def perspective(panorama: np.ndarray, yaw: float, pitch: float, width: int = 400, height: int = 240) -> np.ndarray:
    focal = width / 2 / np.tan(np.radians(115) / 2)
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    rays = np.stack([x / focal, y / focal, np.ones_like(x)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    cos, sin = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    rays = rays @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    longitude = np.arctan2(rays[..., 0], rays[..., 2]) + np.radians(yaw)
    latitude = np.arcsin(np.clip(rays[..., 1], -1, 1))
    rows, columns = panorama.shape[:2]
    u = (((longitude / (2 * np.pi) + 0.5) % 1) * columns - 0.5).astype(np.float32)
    v = ((latitude / np.pi + 0.5) * rows - 0.5).astype(np.float32)
    wrapped = np.concatenate([panorama, panorama[:, :8]], axis=1)
    return cv2.remap(wrapped, u, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def wallpapers(folder: Path) -> Iterator[Row]:
    """The four corners of each photograph."""
    for name, start in WALLPAPERS.items():
        (file,) = folder.glob(f"{start}_by_*.jpg")
        picture = cv2.imread(str(file))
        height, width = picture.shape[:2]
        wide = int(width * 0.62)
        high = min(int(wide * 0.6), height)
        corners = ((0, 0), (width - wide, 0), (0, height - high), (width - wide, height - high))
        for index, (x, y) in enumerate(corners):
            crop = cv2.resize(picture[y : y + high, x : x + wide], (600, 360), interpolation=cv2.INTER_AREA)
            path = f"backgrounds/{name}-{index}.jpg"
            cv2.imwrite(str(OUT / path), crop, [cv2.IMWRITE_JPEG_QUALITY, 85])
            source = f"{file.name} of Debian lomiri-wallpapers 20.04.0, cropped and reduced"
            yield path, "CC-BY-4.0", "Aitzol Berasategi", source


def write_table(path: Path, head: tuple[str, ...], rows: list) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])


if __name__ == "__main__":
    emoji, furniture, hdri, photographs = map(Path, sys.argv[1:5])
    with (OUT / "licences.csv").open(encoding="utf-8", newline="") as file:
        authors = {row["path"]: row["author"] for row in csv.DictReader(file)}  # as the packages' own files name them
    for name in ("objects", "backgrounds"):
        shutil.rmtree(OUT / name)
        (OUT / name).mkdir()
    rows = [*objects(emoji, furniture, authors), *panoramas(hdri), *wallpapers(photographs)]
    write_table(OUT / "licences.csv", ("path", "licence", "author", "source"), sorted(rows))
