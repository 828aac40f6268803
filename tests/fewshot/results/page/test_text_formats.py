"""Markdown and LaTeX: the same tables as the page, with every name as plain text."""

import re

import pytest

from fewshot.results.page.content import Page, Section, Table
from fewshot.results.page.latex import latex_tables
from fewshot.results.page.markdown import markdown_page
from fewshot.results.tables import numeric_columns
from tests.synthetic_runs import page_over, write_run

SPECIAL = '\\ { } $ & # _ % ^ ~ < > | "'


def page_of(*cells: str, head: str = "name") -> Page:
    return Page("title", "lead", (Section("section", (Table("caption", (head,), tuple((c,) for c in cells)),)),))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_over([write_run(tmp_path_factory.mktemp("runs") / "demo")])


def test_both_formats_hold_every_table(page: Page) -> None:
    tables = [table for section in page.sections for _, table in section.tables()]
    latex, markdown = latex_tables(page), markdown_page(page)

    assert len(tables) > 6
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{table}") == len(tables)
    assert len(re.findall(r"^\|[-:|]+\|$", markdown, re.MULTILINE)) == len(tables)
    assert all(f"{table.caption}." in markdown for table in tables)


def test_every_latex_row_has_as_many_cells_as_its_table_has_columns(page: Page) -> None:
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{([^\n]*)\}\n(.*?)\\end\{tabular\}", latex_tables(page), re.DOTALL
    ):
        count = len(re.sub(r"p\{[^}]*\}", "p", columns))
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {count}
        assert [line for line in body.splitlines() if not line.endswith(r"\\")] == [
            r"\toprule",
            r"\midrule",
            r"\bottomrule",
        ]


def test_latex_commands_in_a_name_stay_text() -> None:
    text = latex_tables(page_of(SPECIAL, r"\input{/etc/passwd}"))

    for written in (
        *(r"\textbackslash{} \{ \} \$ \& \# \_ \% \textasciicircum{} \textasciitilde{} \textless{} \textgreater{}",),
        *(r"\textbar{} \textquotedbl{}", r"\textbackslash{}input\{/etc/passwd\} \\"),
    ):
        assert written in text
    assert r"\input{" not in text.split("\n\n", 1)[1]


def test_a_latex_row_that_begins_with_a_bracket_is_not_the_option_of_a_line_break() -> None:
    assert "\n{}[2] class" in latex_tables(page_of("a class", "[2] class"))


def test_line_breaks_and_control_characters_in_a_name_end_no_row() -> None:
    assert "a b c" in latex_tables(page_of("a\nb\x07c"))
    assert "| a b " in markdown_page(page_of("a\nb"))


def test_names_that_begin_with_a_digit_are_no_numbers() -> None:
    assert numeric_columns(("n", "name"), (("[-1.0, +2.5]", "2CV"), ("-", "3a9f"))) == [True, False]


def test_minus_signs_and_long_words_are_set_as_such() -> None:
    text = latex_tables(page_of("-1.5", "[-2.0, +1.0]"))
    assert "$-$1.5" in text
    assert "[$-$2.0, +1.0]" in text
    broken = latex_tables(page_of("f" * 64))
    assert broken.count(r"\allowbreak{}") == 3
    assert "support-wrong-class" in latex_tables(page_of("support-wrong-class"))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("<script>x</script>", r"\<script\>x\</script\>"),
        ("a | b", r"a \| b"),
        ("[x](http://y)", r"[x\](http://y)"),
        ("**bold** `code` &lt;", r"\*\*bold\*\* \`code\` \&lt;"),
        ("_x_ but support_none and J&F", r"\_x\_ but support_none and J&F"),
    ],
)
def test_markup_in_a_name_stays_text_in_markdown(name: str, written: str) -> None:
    assert f"| {written} " in markdown_page(page_of(name))


def test_a_table_that_is_too_wide_for_a_page_is_made_to_fit_and_no_other(page: Page) -> None:
    wide = Table("caption", tuple(f"a method with a name {n}" for n in range(12)), (("10.0",) * 12,))

    text = latex_tables(Page("title", "lead", (Section("section", (wide,)),)))

    assert "\n\\resizebox{\\linewidth}{!}{\\begin{tabular}{rrrrrrrrrrrr}\n" in text
    assert "\\end{tabular}}\n" in text
    assert r"\shortstack[r]{a method\\{}with a name\\{}11} \\" in text
    assert "resizebox" not in latex_tables(page_of("short"))
