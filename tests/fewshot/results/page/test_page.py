"""The page: every section, nothing loaded from outside, nothing of a name or sentence taken for markup."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from episodes.errors import UserError
from fewshot.cli import main
from fewshot.results.page import html
from fewshot.results.page.html import html_page
from fewshot.runs.run import Run
from tests.synthetic_runs import CLASSES, page_over, write_run

HOSTILE = '<script>alert("x")</script> & $x_$ {y}'


class Reader(HTMLParser):
    """Elements, headings, addresses and text of a page; stops at a tag that closes another one than the last."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.sources, self.headings, self.text = [], [], [], [], [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        values = dict(attrs)
        assert not any(name.startswith("on") for name in values)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []
        self.sources += [values["src"]] if "src" in values else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headings.append(data)
        if self.open and self.open[-1] != "style":
            self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "demo", scorings=("paper", "davis"), pictures=4)


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return html_page(page_over([run]))


def test_every_section_is_present_once_for_each_scoring(page: str) -> None:
    headings = Reader(page).headings

    for once in ("Runs", "Group 1, paper scoring", "Group 1, davis scoring", "Queries", "Evaluations"):
        assert headings.count(once) == 1
    for once in ("Training", "Environment"):
        assert headings.count(once) == 1
    assert "Config differences" not in headings, "one run differs from nothing"
    for each in (
        "Methods and shots",
        "J&F over shots",
        "Differences",
        "Controls",
        "Classes",
    ):
        assert headings.count(each) == 2
    assert headings.count("Training seed and support draw") == 2


def test_the_contents_lead_to_every_section_and_nowhere_else(page: str) -> None:
    found = Reader(page)

    assert len(found.ids) == len(set(found.ids)) == len(found.headings)
    assert found.links == [f"#{name}" for name in found.ids]


def test_the_page_loads_nothing_and_runs_nothing(page: str) -> None:
    found = Reader(page)

    assert not re.search(
        r"https?:|url\(|@import|//[a-z]", re.sub(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "", page)
    )
    assert found.sources
    assert all(source.startswith(("data:image/svg+xml;base64,", "data:image/webp;base64,")) for source in found.sources)
    assert not {"script", "link", "iframe", "object", "svg"} & set(found.tags)
    assert "default-src 'none'" in page
    assert len(page) < 10_000_000


def test_the_headline_table_has_the_numbers_of_the_summary(run: Path) -> None:
    table = next(t for heading, t in page_over([run]).sections[1].tables() if heading.endswith("Methods and shots"))
    summary = Run(run).evaluated().summary
    rows = [(row, s) for row, s in summary.rows.items() if (row.scoring, row.control) == ("paper", None)]

    for (row, scores), cells in zip(rows, table.body, strict=True):
        low_high = f"[{scores.JF_low:.1f}, {scores.JF_high:.1f}]"
        numbers = (f"{scores.J:.1f}", f"{scores.F:.1f}", f"{scores.JF:.1f}", low_high)
        assert cells[:6] == (row.method, str(row.shots), *numbers)
        assert cells[6:9] == (f"{scores.J_visible:.1f}", f"{scores.F_visible:.1f}", f"{scores.absent:.1f}")
        assert cells[9:11] == ("-", "0.25")


def test_equal_runs_give_equal_pages(run: Path, page: str) -> None:
    assert html_page(page_over([run])) == page


def test_the_gallery_shows_best_median_and_worst_first_with_their_scores(page: str) -> None:
    text = Reader(page).text

    places = [text.index(name) for name in ("Best query: anchor", "Median query: anchor", "Worst query: anchor")]
    assert [*places, text.index("As the tasks come: anchor")] == sorted(
        [*places, text.index("As the tasks come: anchor")]
    )
    assert "J 52.0, F 60.0" in text
    assert "“the blue disk”" in text


def test_names_and_sentences_are_text_wherever_they_stand(tmp_path: Path) -> None:
    classes = (HOSTILE, "_crown", "ネコ")
    config = {"evaluate": {"label": "cma"}, "note": HOSTILE}
    runs = [
        write_run(tmp_path / f"run{seed}", seed=seed, classes=classes, sentence=HOSTILE, config=config)
        for seed in (0, 1)
    ]

    page = html_page(page_over(runs))

    assert "<script" not in page
    text = Reader(page).text
    assert text.count(HOSTILE) >= 4  # class table, two captions of pictures, and a figure's caption or more
    assert "ネコ" in text


def test_pictures_beyond_the_size_of_the_page_are_counted_not_shown(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [source for source in Reader(html_page(page_over([run]))).sources if "webp" in source]
    monkeypatch.setattr(html, "MOST_BYTES", len(whole[0]) + len(whole[1]))

    found = Reader(html_page(page_over([run])))

    assert [source for source in found.sources if "webp" in source] == whole[:2]
    assert found.text.count("This picture does not fit") == 2
    assert "As the tasks come" in found.text


def test_an_evaluation_without_pictures_says_so(tmp_path: Path) -> None:
    page = html_page(page_over([write_run(tmp_path / "run", pictures=0)]))

    assert "No query of this run was drawn" in page


def test_a_damaged_index_of_pictures_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "results" / "overlays" / "0.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"0\.png is not a picture"):
        html_page(page_over([run]))
    (run / "results" / "overlays" / "0.png").unlink()
    with pytest.raises(UserError, match=r"overlays\.json names '0\.png'"):
        page_over([run])


def test_the_command_writes_all_three_files_and_names_them(run: Path, tmp_path: Path, capsys) -> None:
    files = [tmp_path / name for name in ("report.html", "report.md", "report.tex")]

    assert main(["report", str(run), "--out", *map(str, (files[0], "--markdown", files[1], "--latex", files[2]))]) == 0

    assert capsys.readouterr().out.split() == [str(file) for file in files]
    assert files[0].read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    for name in CLASSES:
        assert all(name in file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("option", ["--out", "--markdown", "--latex"])
def test_a_folder_in_place_of_a_file_is_rejected_before_anything_is_written(
    run: Path, tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["report", str(run), option, str(run)]) == 2

    assert "demo is a folder; name a file in it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
