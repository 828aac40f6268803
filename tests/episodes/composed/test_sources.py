"""Published packages of pictures -> cut-outs of the listed classes, with captions."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from episodes.composed.config import ComposedError
from episodes.composed.sources import LISTS, SOURCES, write_cutouts
from fewshot.arguments import CUTOUTS


def listed(kind: str) -> list[dict[str, str]]:
    with (LISTS / f"{kind}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def picture(format_: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((9, 12, 4), 200, np.uint8)).save(file, format_)
    return file.getvalue()


def unpacked(kind: str, folder: Path) -> Path:
    """A package with all listed pictures, a few pixels each, where the real one has them."""
    archives: dict[str, zipfile.ZipFile] = {}
    for row in listed(kind):
        if kind == "sweethome3d-furniture":
            archive, _, member = row["path"].partition("/")
            if archive not in archives:
                file = folder / "usr/share/sweethome3d/furniture" / archive
                file.parent.mkdir(parents=True, exist_ok=True)
                archives[archive] = zipfile.ZipFile(file, "w")
            archives[archive].writestr(member, picture("PNG"))
            continue
        below = {"fluent-emoji": "package/assets", "tuxpaint-stamps": "usr/share/tuxpaint/stamps"}[kind]
        file = folder / below / row["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture("WEBP" if kind == "fluent-emoji" else "PNG"))
        file.with_suffix(".txt").write_text("A small thing.\nKleines Ding")
    for pack in archives.values():
        pack.close()
    return folder


@pytest.mark.parametrize("kind", CUTOUTS)
def test_every_listed_picture_becomes_a_cutout_with_class_and_caption(kind: str, tmp_path: Path) -> None:
    count = write_cutouts(kind, unpacked(kind, tmp_path / "package"), tmp_path / "out")
    with (tmp_path / "out/captions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert count == len(rows) == len(listed(kind))
    assert len({row["path"] for row in rows}) == count
    for row in rows:
        with Image.open(tmp_path / "out" / row["path"]) as image:
            assert image.mode == "RGBA"
        assert row["path"].startswith(row["class"].replace(" ", "_") + "/")
        assert row["caption"]
    if kind == "tuxpaint-stamps":
        assert "small thing" in {row["caption"] for row in rows}


def test_lists_name_each_picture_once_and_classes_in_lower_case() -> None:
    assert set(CUTOUTS) == set(SOURCES)
    for kind in SOURCES:
        rows = listed(kind)
        assert len({row["path"] for row in rows}) == len(rows)
        assert all(row["class"] == row["class"].lower().strip() for row in rows)


def test_what_is_not_the_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(ComposedError, match=r"holds no .*\.webp of fluent-emoji; give the unpacked package \(npm pack"):
        write_cutouts("fluent-emoji", tmp_path, tmp_path / "out")
    root = unpacked("fluent-emoji", tmp_path / "package")
    (root / "package/assets" / listed("fluent-emoji")[5]["path"]).write_bytes(b"none")
    with pytest.raises(ComposedError, match=r"cannot be read .*; is it another version\?"):
        write_cutouts("fluent-emoji", root, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    with pytest.raises(ComposedError, match="is not an empty folder; give a new one"):
        write_cutouts("fluent-emoji", root, tmp_path / "full")
