"""The effect of the training seed apart from that of the support draw, and the adaptation curve over trainings."""

from pathlib import Path

import numpy as np
import pytest

from fewshot.results.page.content import Table
from fewshot.results.page.experiments import adaptation_results, group_runs, strata
from fewshot.results.page.results import results_section
from fewshot.runs.run import evaluated_runs
from tests.synthetic_runs import curve_points, page_over, write_run


def spreads(*folders: Path) -> tuple[str, Table]:
    """The text above the table (empty if there is none), and the table."""
    (part,) = strata(group_runs(evaluated_runs(folders)))
    *text, table = results_section(part).parts[-1].blocks
    return " ".join(text), table


def of(table: Table, method: str, shots: int) -> dict[str, str]:
    (row,) = [row for row in table.body if row[:2] == (method, str(shots))]
    return dict(zip(table.head, row, strict=True))


def test_the_training_seed_and_the_support_draw_are_told_apart(tmp_path: Path) -> None:
    shifts, draws = (-0.06, 0.0, 0.06), (-0.02, 0.0, 0.02)
    runs = [
        write_run(tmp_path / f"s{n}", seed=n, shift=shift, draw_shifts=draws, noise=0.0)
        for n, shift in enumerate(shifts)
    ]

    text, table = spreads(*runs)

    row = of(table, "cma", 1)
    assert text == ""
    assert row["J&F"] == "60.0"
    assert row["deviation between training seeds"] == "6.0"
    assert row["deviation between support seeds"] == "2.0"
    assert (row["training seeds"], row["support seeds"]) == ("3", "3")
    assert row["J&F of each training seed"] == "seed 0: 54.0, seed 1: 60.0, seed 2: 66.0"


def test_support_draws_alone_leave_the_training_deviation_at_zero(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"s{n}", seed=n, draw_shifts=(-0.1, 0.1), noise=0.0) for n in range(3)]

    row = of(spreads(*runs)[1], "cma", 5)

    assert row["deviation between training seeds"] == "0.0"
    assert float(row["deviation between support seeds"]) == pytest.approx(np.std([55, 75], ddof=1), abs=0.05)


@pytest.mark.parametrize("trainings", [1, 2])
def test_fewer_than_three_training_seeds_are_said_to_be_few(tmp_path: Path, trainings: int) -> None:
    runs = [write_run(tmp_path / f"s{n}", seed=n) for n in range(trainings)]

    text, table = spreads(*runs)

    assert text.startswith(f"Fewer than 3 training seeds (s0: {trainings})")
    assert (of(table, "cma", 1)["deviation between training seeds"] == "-") == (trainings == 1)


def test_the_headline_is_the_mean_over_training_seeds(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"s{n}", seed=n, shift=shift, noise=0.0) for n, shift in enumerate((0.0, 0.03, 0.09))]

    (headline, *_) = [table for heading, table in page_over(runs).sections[1].tables()]

    row = next(row for row in headline.body if row[:2] == ("cma", "1"))
    assert row[2:6] == ("64.0", "64.0", "64.0", "[64.0, 64.0]")
    assert row[-2:] == ("2", "3")


# --------------------------------------------------------------------------- adaptation curve


def test_an_adaptation_curve_is_the_mean_over_trainings_and_becomes_a_figure_and_a_table(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"s{n}", seed=n, curve=curve_points(shift)) for n, shift in enumerate((0.0, 0.1))]

    (experiment,) = group_runs(evaluated_runs(runs))
    means = [(steps, result.estimate) for steps, result in adaptation_results(experiment, 1)]

    assert [(steps, round(mean.JF, 6)) for steps, mean in means] == [(0, 55.0), (2, 56.0), (10, 60.0)]
    assert all(mean.JF_low - 1e-9 <= mean.JF <= mean.JF_high + 1e-9 for _, mean in means)
    headings = [part.title for part in page_over(runs).sections[1].parts]
    assert "J&F over adaptation steps" in headings


def test_without_a_curve_there_is_no_section_of_it(tmp_path: Path) -> None:
    headings = [part.title for part in page_over([write_run(tmp_path / "run")]).sections[1].parts]

    assert "J&F over adaptation steps" not in headings
