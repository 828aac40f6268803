"""Which runs belong together, which are compared, and which are rejected."""

from pathlib import Path

import pytest

from episodes.errors import UserError
from fewshot.results.page.content import Table
from fewshot.results.page.experiments import group_runs, strata
from fewshot.runs.run import evaluated_runs
from tests.synthetic_runs import page_over, write_run


def experiments(*folders: Path):
    return group_runs(evaluated_runs(folders))


def table(page, section: str, heading: str) -> Table:
    found = next(one for one in page.sections if one.title == section)
    return next(t for path, t in found.tables() if path.endswith(heading))


def test_runs_that_differ_in_the_training_seed_alone_are_one_experiment(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / f"s{seed}", seed=seed) for seed in (2, 0, 1)]

    (found,) = experiments(*folders)

    assert [run.seed for run in found.runs] == [0, 1, 2]
    assert all(len(result.trainings) == 3 for part in strata([found]) for result in part.results)


def test_another_value_or_another_support_list_makes_another_experiment(tmp_path: Path) -> None:
    folders = [
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", seed=1, config={"train": {"steps": 20}}),
        write_run(tmp_path / "c", seed=2, support="b"),
    ]

    assert [one.name for one in experiments(*folders)] == ["a", "b", "c"]


def test_places_and_values_of_machine_do_not_separate_training_seeds_but_are_listed(tmp_path: Path) -> None:
    moved = {"data": {"root": "elsewhere", "group": 1, "short_side": 96}, "machine": {"cache": "c", "threads": 1}}
    plain = {"data": {"root": "data/x", "group": 1, "short_side": 96}, "machine": {"cache": None, "threads": 4}}

    folders = [write_run(tmp_path / "a", config=plain), write_run(tmp_path / "b", seed=1, config=moved)]

    assert len(experiments(*folders)) == 1
    listed = table(page_over(folders), "Config differences", "Config differences")
    assert ("machine.threads", "4", "1") in listed.body
    assert "within training noise" in listed.note


def test_one_training_counted_twice_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a and .*b are one experiment with one training seed \(0\)"):
        experiments(write_run(tmp_path / "a"), write_run(tmp_path / "b"))
    with pytest.raises(UserError, match="is named twice"):
        evaluated_runs([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def test_runs_of_different_benchmarks_are_rejected_naming_both(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b", seed=1, benchmark="c" * 64)]

    with pytest.raises(
        UserError, match=r"different benchmarks: .*a \(data/x \(content b+\)\) and .*b \(data/x \(content c+\)\)"
    ):
        page_over(folders)


def test_a_run_that_does_not_say_its_benchmark_can_only_be_reported_alone(tmp_path: Path) -> None:
    old, new = write_run(tmp_path / "old", benchmark=None), write_run(tmp_path / "new", seed=1)

    assert page_over([old]).sections
    with pytest.raises(UserError, match=r"old \(data/x \(content not recorded: evaluate that run again\)\)"):
        page_over([old, new])


def test_groups_and_scorings_have_sections_of_their_own(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "g2", group=2, scorings=("davis", "paper")),
        write_run(tmp_path / "g1", group=1, support="b"),
    ]

    page = page_over(runs)

    titles = [section.title for section in page.sections if section.title.startswith("Group")]
    assert titles == ["Group 1, paper scoring", "Group 2, paper scoring", "Group 2, davis scoring"]
    assert all(title.split(",")[0].lower() in page.lead for title in titles)


def differences(*folders: Path) -> dict[str, dict[tuple[str, ...], tuple[str, ...]]]:
    """The tables of differences by caption: row -> (J&F, interval, items)."""
    section = next(one for one in page_over(folders).sections if one.title == "Group 1, paper scoring")
    tables = [t for heading, t in section.tables() if heading.endswith("Differences")]
    return {t.caption: {row[:-3]: row[-3:] for row in t.body} for t in tables}


def test_every_method_is_compared_with_the_first_experiments_unadapted_model(tmp_path: Path) -> None:
    better = {"train": {"steps": 99}}
    runs = [write_run(tmp_path / "a", noise=0.0), write_run(tmp_path / "b", noise=0.0, shift=0.05, config=better)]

    of_model = differences(*runs)["Differences from a, cma"]

    assert set(of_model) == {
        *((e, m, k) for e in "ab" for m in ("prototype", "cma+finetune") for k in "15"),
        *(("b", "cma", k) for k in "15"),
    }
    assert of_model["b", "cma", "1"] == ("+5.0", "[+5.0, +5.0]", "18")
    assert of_model["a", "cma+finetune", "5"] == ("+5.0", "[+5.0, +5.0]", "18")
    assert of_model["b", "prototype", "1"] == ("-35.0", "[-35.0, -35.0]", "18")


def test_methods_are_compared_with_the_plainest_one_and_with_themselves_at_fewer_shots(tmp_path: Path) -> None:
    tables = differences(write_run(tmp_path / "a", noise=0.0))

    assert tables["Differences from prototype"]["cma+finetune", "5"] == ("+40.0", "[+40.0, +40.0]", "18")
    assert set(tables["Differences from the fewest shots"]) == {(m, "5") for m in ("prototype", "cma", "cma+finetune")}
    assert tables["Differences from the fewest shots"]["cma", "5"] == ("+5.0", "[+5.0, +5.0]", "18")


def test_which_model_is_the_unadapted_one_is_what_the_config_says_whatever_it_is_called(tmp_path: Path) -> None:
    assert "Differences from cma+finetune" in differences(
        write_run(tmp_path / "a", config={"evaluate": {"label": "cma+finetune"}})
    )


def test_runs_with_other_support_lists_are_not_compared(tmp_path: Path) -> None:
    of_model = differences(write_run(tmp_path / "a"), write_run(tmp_path / "b", support="b"))["Differences from a, cma"]

    assert {cells for row, cells in of_model.items() if row[0] == "b"} == {("-", "-", "-")}
    assert all(cells[0] != "-" for row, cells in of_model.items() if row[0] == "a")


def test_a_control_is_paired_with_its_own_method(tmp_path: Path) -> None:
    found = table(page_over([write_run(tmp_path / "a", noise=0.0)]), "Group 1, paper scoring", "Controls")

    assert [row[:3] + row[-3:] for row in found.body] == [("cma", "1", "support_none", "-50.0", "[-50.0, -50.0]", "18")]


def test_config_differences_name_the_key_and_each_runs_value(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", seed=4, config={"train": {"rate": 0.1}})]

    found = table(page_over(runs), "Config differences", "Config differences")

    assert set(found.body) == {("seed", "0", "4"), ("train.steps", "10", "absent"), ("train.rate", "absent", "0.1")}


def test_a_folder_that_was_not_evaluated_is_rejected_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        page_over([tmp_path / "absent"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"summary\.json.*evaluate the run first"):
        page_over([tmp_path / "empty"])
