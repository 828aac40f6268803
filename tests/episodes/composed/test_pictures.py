"""Folders of pictures: their classes and captions, and the message of everything that cannot be used."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from episodes.composed.config import ComposedConfig, ComposedError
from episodes.composed.pictures import read_library
from tests.episodes.composed.drawn_pictures import CLASSES, write_backgrounds, write_objects, write_stills


def config(folder: Path, **values: object) -> ComposedConfig:
    return ComposedConfig.model_validate(
        {
            "objects": [folder / "objects"],
            "stills": [folder / "stills"],
            "backgrounds": [folder / "backgrounds"],
            "width": 160,
            "height": 96,
            **values,
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_objects(tmp_path / "objects")
    write_stills(tmp_path / "stills")
    write_backgrounds(tmp_path / "backgrounds")
    return tmp_path


def test_class_is_the_folder_and_caption_the_text_beside_the_picture(folder: Path) -> None:
    library = read_library(config(folder))
    assert list(library.classes) == sorted(CLASSES)
    assert [p.caption for p in library.classes["drum"]] == ["pale drum", "dark drum", "photo"]


def test_without_a_text_the_file_name_gives_the_caption(folder: Path) -> None:
    (folder / "objects/drum/drum-0.txt").unlink()
    (folder / "objects/drum/drum-0.png").rename(folder / "objects/drum/snare_drum-3.png")
    assert "snare drum" in {p.caption for p in read_library(config(folder)).classes["drum"]}


def test_a_captions_file_decides_classes_and_captions(folder: Path) -> None:
    names = [f"{name}/{name}-{i}.png,{name.upper()},The {name} number {i}" for name in CLASSES for i in (0, 1)]
    (folder / "objects/captions.csv").write_text("\n".join(["path,class,caption", *names]))
    library = read_library(config(folder, stills=[]))
    assert list(library.classes) == [name.upper() for name in sorted(CLASSES)]
    assert library.classes["ANT"][1].caption == "ant number 1"


def test_classes_can_be_left_out(folder: Path) -> None:
    with pytest.raises(ComposedError, match="7 usable classes"):
        read_library(config(folder, without=CLASSES[:5]))


def test_small_classes_are_rejected_skipped_or_kept(folder: Path) -> None:
    write_objects(folder / "more", ("zither",), members=1)
    both = [folder / "objects", folder / "more"]
    with pytest.raises(ComposedError, match=r"1 of 13 classes have fewer than two objects: zither\. .*small_classes"):
        read_library(config(folder, objects=both))
    assert "zither" not in read_library(config(folder, objects=both, small_classes="skip")).classes
    assert "zither" in read_library(config(folder, objects=both, small_classes="keep")).classes


def no_alpha(folder: Path) -> None:
    Image.new("RGB", (30, 30)).save(folder / "objects/ant/ant-0.png")


def empty_alpha(folder: Path) -> None:
    Image.new("RGBA", (30, 30)).save(folder / "objects/ant/ant-0.png")


def empty_caption(folder: Path) -> None:
    (folder / "objects/ant/ant-0.txt").write_text("\n")


def long_caption(folder: Path) -> None:
    (folder / "objects/ant/ant-0.txt").write_text("very " * 70 + "small ant")


def no_class(folder: Path) -> None:
    (folder / "objects/ant/ant-0.png").rename(folder / "objects/ant-0.png")


def no_class_in_captions(folder: Path) -> None:
    (folder / "objects/captions.csv").write_text("path,class,caption\nant/ant-0.png,,an ant\n")


def wrong_path_in_captions(folder: Path) -> None:
    (folder / "objects/captions.csv").write_text("path,class,caption\nant/none.png,ant,an ant\n")


def other_columns(folder: Path) -> None:
    (folder / "objects/captions.csv").write_text("file,text\nant/ant-0.png,ant\n")


def small_background(folder: Path) -> None:
    Image.new("RGB", (70, 90)).save(folder / "backgrounds/tiny.jpg")


def no_backgrounds(folder: Path) -> None:
    for path in (folder / "backgrounds").iterdir():
        path.unlink()


def no_folder(folder: Path) -> None:
    (folder / "backgrounds").rename(folder / "elsewhere")


def no_mask(folder: Path) -> None:
    (folder / "stills/ant/photo.png").unlink()


def mask_of_another_size(folder: Path) -> None:
    Image.fromarray(np.ones((10, 20), bool)).save(folder / "stills/ant/photo.png")


def empty_mask(folder: Path) -> None:
    Image.fromarray(np.zeros((140, 200), bool)).save(folder / "stills/ant/photo.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_alpha, r"ant-0\.png: has no alpha channel \(mode RGB\); cut the object out, or use it as a still"),
        (empty_alpha, r"ant-0\.png: its alpha is empty, nothing of the object is opaque; remove it"),
        (empty_caption, r"ant-0\.txt: its first line, the caption of ant-0\.png, is empty; write one or remove it"),
        (long_caption, r"ant-0\.txt: the caption 'very .*' has 72 words, and the text encoder takes 64; shorten it"),
        (no_class, r"ant-0\.png: lies in no class folder; move it to .*<class>/ant-0\.png"),
        (no_class_in_captions, r"captions\.csv, line 2: the class of 'ant/ant-0\.png' is missing"),
        (wrong_path_in_captions, r"captions\.csv, line 2: there is no picture .*none\.png; correct the path"),
        (other_columns, r"captions\.csv: needs the columns path, class and caption, found \['file', 'text'\]"),
        (small_background, r"tiny\.jpg: the background has 70 x 90 pixels, too few for frames of 160 x 96"),
        (no_backgrounds, r"backgrounds: holds no picture \(\.jpg, .*\); give another folder"),
        (no_folder, r"backgrounds: no such folder of pictures; correct the path"),
        (no_mask, r"photo\.jpg: has no mask photo\.png beside it; add one, white where the object is"),
        (
            mask_of_another_size,
            r"photo\.png: the mask has 20 x 10 pixels and its photograph 200 x 140; make them equal",
        ),
        (empty_mask, r"photo\.png: the mask is empty; mark the object in white, or remove both"),
    ],
)
def test_what_cannot_be_used_is_named(folder: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(folder)
    with pytest.raises(ComposedError, match=message):
        read_library(config(folder))


def test_objects_need_backgrounds_and_backgrounds_objects(folder: Path) -> None:
    with pytest.raises(ComposedError, match="no folder of backgrounds: give --backgrounds"):
        read_library(config(folder, backgrounds=[]))
    with pytest.raises(ComposedError, match="no folder of objects or stills: give --objects"):
        read_library(config(folder, objects=[], stills=[]))
