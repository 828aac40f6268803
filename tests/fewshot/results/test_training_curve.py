"""The training curve draws losses and validation scores."""

from fewshot.results.training_curve import curve_picture, loss_series, validation_series


def test_the_total_loss_stands_for_its_terms_where_it_is_logged() -> None:
    terms = {"train/loss/dice": [(1, 1.0)], "train/loss/focal": [(1, 1.0)], "train/learning_rate": [(1, 0.1)]}

    assert set(loss_series(terms)) == {"train/loss/dice", "train/loss/focal"}
    assert set(loss_series({**terms, "train/loss/total": [(1, 2.0)]})) == {"train/loss/total"}
    assert set(validation_series({**terms, "validation/JF": [(1, 5.0)]})) == {"validation/JF"}


def test_nothing_is_drawn_where_nothing_was_logged() -> None:
    assert curve_picture({"seconds": [(1, 1.0)]}) is None


def test_equal_logs_make_equal_pictures() -> None:
    series = {"loss": [(step, 1 / (step + 1)) for step in range(100)]}

    assert curve_picture(series) == curve_picture(series) != None  # noqa: E711
