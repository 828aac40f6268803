"""Report and results table of a small run folder, written by the same functions as a real one."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from episodes.errors import UserError
from fewshot.results.overlays import ClipPicture, draw_overlay, write_overlay
from fewshot.results.records import Item, Record, write_records
from fewshot.results.run_report import results_table, write_report
from fewshot.results.summary import read_summary, summarise, write_summary

MANIFEST = "9f" * 32
LEVELS = {  # method, shots, control -> mean J
    ("prototype", 1, None): 0.17,
    ("prototype", 5, None): 0.21,
    ("cma", 1, None): 0.62,
    ("cma", 5, None): 0.68,
    ("cma+finetune", 1, None): 0.64,
    ("cma+finetune", 5, None): 0.71,
    ("cma", 1, "support_wrong_class"): 0.12,
    ("cma", 1, "support_none"): 0.10,
    ("cma", 1, "text_wrong_object"): 0.24,
}
CLASSES = ("umbrella", "anchor", "snowman", "crown")


def _records() -> list[Record]:
    rng = np.random.default_rng(0)
    records = []
    for scoring in ("paper", "davis"):
        for (method, shots, control), level in LEVELS.items():
            for seed in range(3):
                for name in CLASSES:
                    for video in range(4):
                        region = np.clip(rng.normal(level, 0.1, size=9), 0, 1)
                        item = Item(1, seed, name, f"{name}-{video}", "1", "0")
                        how = {"method": method, "shots": shots, "control": control, "scoring": scoring}
                        records.append(Record.of_clip(item, region, np.clip(region + 0.05, 0, 1), **how, seconds=0.02))
    return records


def _clip(frames: int, text: str, offset: int) -> ClipPicture:
    rows, columns = np.mgrid[:96, :128]
    masks = np.stack([np.hypot(rows - 48, columns - offset - 6 * t) < 18 for t in range(frames)])
    pictures = np.random.default_rng(offset).integers(60, 140, size=(frames, 96, 128, 3)).astype(np.uint8)
    pictures[masks] = (60, 90, 200)
    return ClipPicture(pictures, masks, text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "demo"
    folder.mkdir()
    records = _records()
    write_records(folder / "records.csv", records)
    write_summary(folder / "summary.json", summarise(records, resamples=200, manifest=MANIFEST, training_seconds=312.5))
    (folder / "config.yaml").write_text("name: demo-of-tests\nseed: 0\ndata:\n  short_side: 96\n")
    starts = [{"step": 0}, {"step": 40, "versions": {"torch": "2.14"}}]
    (folder / "meta.json").write_text(json.dumps({"starts": starts}))
    rng = np.random.default_rng(1)
    with (folder / "metrics.jsonl").open("w") as stream:
        for step in range(0, 1000, 10):
            loss = 4 * np.exp(-step / 300) + 0.8 + 0.3 * rng.random()
            stream.write(json.dumps({"step": step, "kind": "train", "loss": loss, "seconds": step / 9}) + "\n")
            if step % 200 == 0:
                score = {"J": 60 - 50 * np.exp(-step / 250), "F": 63 - 50 * np.exp(-step / 250)}
                stream.write(json.dumps({"step": step, "kind": "validation", **score}) + "\n")
    query = _clip(8, "the blue disk that moves to the right", 30)
    support = [_clip(5, "a disk", 20), _clip(5, "the disk on a noisy ground, blue & round", 50)]
    page = draw_overlay(support, query, np.roll(query.masks, 5, axis=2), title="cma 2-shot, umbrella", scores=[0.6] * 8)
    write_overlay(folder / "overlays" / "umbrella-0.png", page)
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_the_report_holds_every_number_of_the_main_table(folder: Path, report: str) -> None:
    for row in read_summary(folder / "summary.json").rows:
        if row.control is None or row.scoring == "paper":
            control = "" if row.control is None else f"{row.control} | "
            numbers = f"{row.J:.1f} | {row.F:.1f} | {row.JF:.1f} | [{row.JF_low:.1f}, {row.JF_high:.1f}]"
            assert f"| {row.method} | {row.shots} | {control}{numbers} |" in report


def test_the_report_says_how_sure_it_is(report: str) -> None:
    assert MANIFEST in report
    assert "200 bootstrap resamples" in report
    assert "3 support seeds" in report
    assert "demo-of-tests" in report
    assert "312.5" in report
    assert "short side 96" in report
    assert "2 starts" in report
    assert "| versions torch | 2.14 |" in report


def test_the_report_names_every_class_control_and_seed(report: str) -> None:
    for word in (*CLASSES, "support_wrong_class", "support_none", "text_wrong_object", "seed 2"):
        assert word in report


def test_every_file_that_the_report_links_exists(folder: Path, report: str) -> None:
    links = [part.split(")")[0] for part in report.split("](")[1:]]

    assert {"curve.png", "overlays/umbrella-0.png", "config.yaml", "metrics.jsonl"} <= set(links)
    assert all((folder / link).is_file() for link in links)


def test_every_markdown_table_has_rows_of_one_length(report: str) -> None:
    for block in report.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_the_training_curve_is_a_picture(folder: Path, report: str) -> None:
    with Image.open(folder / "curve.png") as picture:
        assert picture.width > 500


def test_writing_a_report_twice_gives_the_same_text(folder: Path, report: str) -> None:
    assert write_report(folder).read_text(encoding="utf-8") == report


def test_a_report_needs_only_summary_and_records(folder: Path, tmp_path: Path) -> None:
    for name in ("summary.json", "records.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())

    text = write_report(tmp_path).read_text(encoding="utf-8")

    for absence in ("config.yaml is absent", "metrics.jsonl is absent", "meta.json is absent", "None were drawn"):
        assert absence in text


def test_a_folder_without_results_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"summary\.json.*evaluate the run first"):
        write_report(tmp_path)


def test_broken_environment_notes_are_named(folder: Path, tmp_path: Path) -> None:
    for name in ("summary.json", "records.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "meta.json").write_text("{")

    with pytest.raises(UserError, match=r"meta\.json is no JSON"):
        write_report(tmp_path)


def test_the_terminal_table_is_the_same_from_a_summary_and_from_its_folder(folder: Path) -> None:
    assert results_table(folder) == results_table(read_summary(folder / "summary.json"))


def test_the_terminal_table_shows_each_row_on_one_line_of_at_most_120_characters(folder: Path) -> None:
    table, notes = results_table(folder).rsplit("\n\n", 1)

    assert all(len(line) <= 120 for line in table.splitlines())
    assert sum(line.startswith(("cma", "prototype")) for line in table.splitlines()) == 2 * len(LEVELS)
    assert MANIFEST in notes
