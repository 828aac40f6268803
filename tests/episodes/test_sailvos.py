"""Mini-Ref-SAIL-VOS: both forms of its layout, its own classes, and how a folder's layout is told."""

from pathlib import Path

import pytest

from episodes.catalog import VideoCatalog
from episodes.check import check_benchmark
from episodes.decode import read_frame
from episodes.errors import LayoutError
from episodes.readers import find_layout, read_benchmark
from episodes.readers.layouts import OFFICIAL_CLASSES, SAIL_CLASSES
from tests.tiny_benchmark import write_tiny_benchmark

FORMS = ("sailvos", "sailvos-readme")


def write_sail(root: Path, layout: str) -> Path:
    return write_tiny_benchmark(root, layout=layout, names=SAIL_CLASSES, size=32, frames=2)


@pytest.mark.parametrize("layout", FORMS)
def test_both_forms_give_the_same_catalog(tmp_path: Path, layout: str) -> None:
    catalog = read_benchmark(write_sail(tmp_path / "mini-SAIL-VOS", layout))

    assert catalog.classes == ("dog", "car", "person")
    assert [catalog.class_id(name) for name in catalog.classes] == [1, 2, 3]
    assert catalog.notes == ()
    for record in catalog.videos.values():
        assert record.frame_suffix == ".bmp"
        assert all(record.frame_path(f).is_file() and record.mask_path(f).is_file() for f in record.frames)
    record = next(iter(catalog.videos.values()))
    assert read_frame(record.frame_path(record.frames[0]), short_side=32).shape == (3, 32, 32)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_frames_of_another_kind_are_found_by_their_first_file(tmp_path: Path, suffix: str) -> None:
    root = write_sail(tmp_path / "Mini-Ref-SAIL-VOS", "sailvos-readme")
    for frame in (root / "train/JPEGImages").rglob("*.bmp"):
        frame.rename(frame.with_suffix(suffix))

    assert {record.frame_suffix for record in read_benchmark(root).videos.values()} == {suffix}


@pytest.mark.parametrize("name", ["mini-SAIL-VOS", "Mini-Ref-SAIL-VOS"])
@pytest.mark.parametrize("layout", FORMS)
def test_the_layout_is_found_in_the_folder_and_in_the_one_above(tmp_path: Path, layout: str, name: str) -> None:
    root = write_sail(tmp_path / name, layout)

    for given in (root, tmp_path):
        assert read_benchmark(given).root == root
        assert find_layout(given).classes == SAIL_CLASSES


def test_a_folder_of_the_youtube_layout_keeps_its_official_classes(tmp_path: Path) -> None:
    write_tiny_benchmark(tmp_path / "set", names=OFFICIAL_CLASSES[:4], size=16, frames=1, videos_per_class=1)

    assert read_benchmark(tmp_path / "set").classes == OFFICIAL_CLASSES


@pytest.mark.parametrize(
    ("folder", "names", "sail"),
    [
        ("renamed", SAIL_CLASSES, True),
        ("renamed", ("car", "person"), True),
        ("renamed", ("dog", "person"), False),  # classes of both benchmarks
        ("renamed", ("dog", "car", "truck"), False),
        ("sailing", OFFICIAL_CLASSES[:4], False),
        ("mini-sail-vos", ("dog", "person"), True),
    ],
)
def test_a_folder_with_train_is_told_by_its_whole_name_or_by_its_categories(
    tmp_path: Path, folder: str, names: tuple[str, ...], sail: bool
) -> None:
    root = write_tiny_benchmark(tmp_path / folder, layout="sailvos-readme", names=names, size=16, frames=1)

    assert find_layout(root).classes == (SAIL_CLASSES if sail else OFFICIAL_CLASSES)


def test_a_folder_of_pictures_beside_train_changes_nothing(tmp_path: Path) -> None:
    root = write_tiny_benchmark(tmp_path / "set", names=OFFICIAL_CLASSES[:4], size=16, frames=1)
    (root / "Images").mkdir()

    assert find_layout(root).classes == OFFICIAL_CLASSES


def test_a_folder_above_two_benchmarks_is_rejected_with_their_names(tmp_path: Path) -> None:
    write_tiny_benchmark(tmp_path / "Mini-Ref-YouTube-VOS", names=OFFICIAL_CLASSES[:4], size=16, frames=1)
    write_sail(tmp_path / "Mini-Ref-SAIL-VOS", "sailvos-readme")

    with pytest.raises(LayoutError, match=r"holds 2 benchmarks, .*Mini-Ref-SAIL-VOS, .*Mini-Ref-YouTube-VOS; give"):
        read_benchmark(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", '{"videos": {"v": 3}}', '{"videos": {"v": {"objects": {"1": {"category": ["car"]}}}}}']
)
def test_a_broken_index_is_named_whatever_the_folder_is_called(tmp_path: Path, content: str) -> None:
    root = write_sail(tmp_path / "renamed", "sailvos-readme")
    (root / "train/train.json").write_text(content)

    with pytest.raises(LayoutError, match=r"train/train\.json"):
        read_benchmark(root)


def test_an_index_that_is_missing_is_named_with_every_spelling(tmp_path: Path) -> None:
    root = write_sail(tmp_path / "mini-SAIL-VOS", "sailvos-readme")
    (root / "train/train.json").unlink()

    with pytest.raises(LayoutError, match=r"train/meta\.json and .*train/train\.json: not found"):
        read_benchmark(root)


@pytest.mark.parametrize("layout", FORMS)
def test_the_check_finds_what_is_missing_in_either_form(tmp_path: Path, layout: str) -> None:
    root = write_sail(tmp_path / "mini-SAIL-VOS", layout)
    assert not check_benchmark(root).stops_training
    catalog: VideoCatalog = read_benchmark(root)
    record = next(iter(catalog.videos.values()))
    record.frame_path(record.frames[0]).unlink()
    (record.mask_folder.parent / "stray").mkdir()

    kinds = {problem.kind for problem in check_benchmark(root).problems}

    assert kinds == {"missing frame", "id absent from meta"}
