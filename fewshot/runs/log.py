"""What a run logs: its metrics, and events for TensorBoard."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from fewshot.config.document import dotted
from fewshot.results.summary import Summary
from fewshot.runs.metrics import append_metrics, cut_metrics

_EVALUATION = "evaluation"


class RunLog:
    """Metrics of a training that starts, or resumes, after `step` finished steps. Use as a context manager.

    What an interrupted training wrote about later steps is cut off, so that a resumed one leaves the same metrics as
    one that never stopped. With `main` False (the other processes of one training) nothing is written.
    """

    def __init__(self, metrics: Path, board: Path, *, step: int = 0, main: bool = True) -> None:
        """`metrics`: file of one line a row; `board`: folder of TensorBoard's events."""
        self._path = metrics
        self._board: SummaryWriter | None = None
        if main:
            metrics.parent.mkdir(parents=True, exist_ok=True)
            cut_metrics(metrics, step)
            if step == 0:
                shutil.rmtree(board, ignore_errors=True)  # of a training that reached no checkpoint
            self._board = SummaryWriter(str(board), purge_step=step + 1 if step else None, flush_secs=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()

    def scalars(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """One line of metrics, and one TensorBoard scalar `kind/name` for each value."""
        if self._board is not None:
            append_metrics(self._path, step, kind, values)
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", float(value), step)

    def image(self, step: int, name: str, picture: Tensor) -> None:
        """A picture (3, H, W) uint8 for TensorBoard; what was logged before it reaches the files too."""
        if self._board is not None:
            self._board.add_image(name, picture, step)
            self._board.flush()

    def hyperparameters(self, values: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """The run's config (nested plain values) and its final scores for TensorBoard's HPARAMS page."""
        if self._board is None:
            return
        _add_hyperparameters(self._board, values, {f"final/{name}": float(value) for name, value in metrics.items()})


def log_evaluation(board: Path, step: int, values: Mapping[str, Any], summary: Summary) -> None:
    """The summary's J, F and J&F for TensorBoard at the checkpoint's step, and beside the config on its HPARAMS page.

    They have a folder of their own in `board`, written each time: TensorBoard keeps a folder's first HPARAMS entry,
    which is that of the training, and would show the scores of an earlier evaluation beside the new ones.
    """
    folder = board / _EVALUATION
    shutil.rmtree(folder, ignore_errors=True)
    scores: dict[str, float] = {}
    for row, found in summary.rows.items():
        name = "/".join(("evaluation", row.scoring, row.method, f"{row.shots}-shot", *filter(None, (row.control,))))
        scores |= {f"{name}/J": found.J, f"{name}/F": found.F, f"{name}/JF": found.JF}
    with SummaryWriter(str(folder)) as events:
        _add_hyperparameters(events, values, scores, step)


def _add_hyperparameters(
    board: SummaryWriter, values: Mapping[str, Any], scores: Mapping[str, float], step: int | None = None
) -> None:
    """Config and scores of one HPARAMS entry; lists and null as text, which is all that TensorBoard shows of them."""
    shown = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in dotted(values).items()}
    writer = board._get_file_writer()
    for summary in hparams(shown, dict(scores)):  # SummaryWriter.add_hparams would open a second run
        writer.add_summary(summary)
    for name, value in scores.items():
        board.add_scalar(name, value, step)
