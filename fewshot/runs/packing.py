"""A trained run as a folder to give away: what any use of its weights reads, and a card that says what they are.

    OUT/README.md        the card: use, training, encoders, scores, and notes written by hand
        config.yaml, checkpoints/, metrics.jsonl, meta.json    as in any run folder, without the optimiser

So a packed run is a run: whatever takes a run folder takes it, except that its training does not resume.
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from episodes.errors import ConfigError
from fewshot.results.evaluated import EvaluatedRun
from fewshot.results.tables import results_table
from fewshot.runs.checkpoint import read_encoder_weights, read_state
from fewshot.runs.encoders import ENCODERS, stores_encoders
from fewshot.runs.origin import Origin, read_origin
from fewshot.runs.replacement import replaced_folder
from fewshot.runs.run import Run

CARD = "README.md"


def pack(run: Run, out: Path, *, notes: Path, evaluations: Sequence[Run] = ()) -> None:
    """Write the folder `out` from the checkpoint that `evaluate.checkpoint` of the run means.

    notes: Markdown for the card, on what no file says: licences of the pictures, hours, what the weights cannot do;
    evaluations: of this run, whose tables the card shows. Raises ConfigError, and leaves nothing, where `out` exists,
    the notes are absent, the run keeps encoders of its own, or an evaluation is of other weights.
    """
    if out.exists():
        raise ConfigError(f"{out} exists already; give another folder, or remove it")
    if not notes.is_file():
        raise ConfigError(
            f"{notes}: no such file. Write down in it what the weights may be used for: licences of the pictures, how "
            "long the training took, what they cannot do"
        )
    config = run.read_config()
    checkpoint = run.required_checkpoint(config.evaluate.checkpoint)
    if stores_encoders(run.folder):
        raise ConfigError(
            f"{run.folder / ENCODERS} holds encoders that no package name leads to, and only heads are packed. Train "
            "with encoders that are loaded by name (docs/encoders.md)"
        )
    for evaluation in evaluations:
        if evaluation.folder.resolve() != run.folder.resolve() and not evaluation.shows(run):
            raise ConfigError(f"{evaluation.folder} is not an evaluation of {run.folder}; leave it out")
    scores = [evaluation.evaluated() for evaluation in evaluations]
    out.parent.mkdir(parents=True, exist_ok=True)
    with replaced_folder(out) as aside:
        run.copy_training(checkpoint, aside)
        text = card(out.name, run.starts(), Run(aside).required_checkpoint("last"), scores, notes.read_text("utf-8"))
        (aside / CARD).write_text(text, encoding="utf-8")


def card(
    name: str, starts: Sequence[dict[str, Any]], checkpoint: Path, scores: Sequence[EvaluatedRun], notes: str
) -> str:
    """The text of the card, in Markdown; `starts`: those of the training, `checkpoint`: the packed one."""
    origin, state = read_origin(checkpoint), read_state(checkpoint)
    commands = dict.fromkeys(shlex.join(start["command"]) for start in starts if start.get("command"))
    return "\n\n".join(
        (
            f"# {name}",
            "Weights of a few-shot referring video object segmentation network. Given annotated clips of a class, it "
            "segments the object of that class that a sentence describes.",
            f"Scores on a benchmark in the folder ROOT: `evaluate {name} evaluate.transfer.root=ROOT --out FOLDER`. In "
            f'Python: `fewshot.Segmenter.open("{name}")`. Where the weights did not come with the project, give the '
            "path of this folder in place of the name.",
            "## Training",
            f"{state['step']} steps; `config.yaml` holds every value. Commands:",
            "\n".join(f"    {command}" for command in commands) or "Not recorded.",
            *_data(origin),
            "## Files",
            "A file that is not the one of this SHA-256 is rejected.",
            _table(("file", "SHA-256"), state["sha256"].items()),
            "## Encoders",
            "They are not in this folder; they are loaded by name, and others than these are rejected.",
            _table(("encoder", "name", "SHA-256"), map(astuple, read_encoder_weights(checkpoint))),
            "## Scores",
            *([f"```\n{results_table(one.summary)}\n```" for one in scores] or ["None were recorded."]),
            "## Notes",
            notes.strip() + "\n",
        )
    )


def _data(origin: Origin) -> tuple[str, ...]:
    content = origin.benchmark
    return (
        f"Data: {len(content.index)} videos, content hash `{content.hash}`.",
        f"Classes seen, in any training of these weights ({len(origin.classes)}): {', '.join(origin.classes)}.",
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(row) for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {line} |" for line in lines)
