"""Meta-training: episodes of base classes, one optimiser step after another, resumable at any of them."""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset

from episodes.check import require_visible
from episodes.config import AugmentConfig
from episodes.dataset import EpisodeDataset, collate
from episodes.errors import TrainingError, UserError
from episodes.mixture import Mixture
from episodes.sampling import EpisodeSampler, rank_slice
from episodes.types import Episode
from fewshot.config.experiment import ExperimentConfig, plain
from fewshot.config.training import TrainConfig
from fewshot.learners import Learner, build_learner
from fewshot.runs.benchmarks import Benchmarks
from fewshot.runs.build import cached_features, new_network, open_benchmarks, restored_network
from fewshot.runs.checkpoint import clear_leftovers, latest, load_checkpoint, save_checkpoint
from fewshot.runs.encoders import encoder_weights, store_encoders
from fewshot.runs.features import FeatureStore
from fewshot.runs.initial_weights import lacks
from fewshot.runs.interruption import uninterrupted
from fewshot.runs.log import RunLog
from fewshot.runs.origin import run_origin, training_origin
from fewshot.runs.progress import Progress
from fewshot.runs.randomness import TRAINING_STEP, torch_randomness
from fewshot.runs.run import Run
from fewshot.training.familiarity import as_measured, measure_familiar
from fewshot.training.start import start_matching
from fewshot.training.validation import Validation

log = logging.getLogger(__name__)


def train(config: ExperimentConfig, run_folder: Path, *, allow_changed_data: bool = False) -> None:
    """Train to the last step, from the run folder's latest checkpoint if it has one.

    A checkpoint of other data than the benchmark holds now is a CheckpointError unless `allow_changed_data`. Ctrl-C
    finishes the step and saves a checkpoint of it before it is raised to the caller. Raises UserError subclasses for
    bad input and `TrainingError` if a loss or gradient is not finite.
    """
    Trainer(config, run_folder, allow_changed_data=allow_changed_data).run()


class Trainer:
    """Holds what a step needs; `step` is the whole algorithm."""

    def __init__(self, config: ExperimentConfig, run_folder: Path, *, allow_changed_data: bool = False) -> None:
        self.config = config
        self.run_folder = run_folder
        if config.machine.threads:
            torch.set_num_threads(config.machine.threads)
        precision = "no" if config.train.precision == "fp32" else config.train.precision
        # Explicit, since without a GPU accelerate takes torchrun's processes for separate trainings.
        self.accelerator = Accelerator(mixed_precision=precision, cpu=not torch.cuda.is_available())
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        if config.train.batch_episodes % self.world:
            raise TrainingError(
                f"train.batch_episodes = {config.train.batch_episodes} cannot be split over {self.world} processes; "
                "give a multiple"
            )
        data = open_benchmarks(config)
        before = run_origin(run_folder)
        self.data_changes = before.data_changes(data, allowed=allow_changed_data) if before is not None else []
        self.origin = training_origin(config, data, before)
        self.samplers = build_samplers(config, data, "train")
        for sampler in self.samplers:
            require_visible(sampler.catalog, sampler.objects())
        validated = build_samplers(config, data, "val") if config.train.validate_every else ()
        checkpoint = latest(run_folder)
        network = new_network(config) if checkpoint is None else restored_network(config, checkpoint)
        self.encoders = encoder_weights(network.trunk, config.model)
        self.network = network.to(self.accelerator.device)
        self.learner: Learner = build_learner(config.learner, self.network)
        self.optimizer = build_optimizer(self.learner.trained(), config.train)
        features = self._features(data)
        augment = config.episodes.augment
        # Kept features are those of unchanged frames.
        self.dataset = self._episodes(self.samplers, features if augment is None else None, augment)
        self.measured = self._episodes(build_samplers(as_measured(config), data, "train"), features)
        given = config.initial_folder
        if checkpoint is None and (given is None or lacks(given, "matching")):
            start_matching(self.network, self.dataset, self.accelerator.device)
        self.validation = None
        if validated:
            episodes, pictures = self._episodes(validated, features), self._episodes(validated)
            self.validation = Validation(episodes, pictures, config.train.validation_episodes)

    def _features(self, data: Benchmarks) -> FeatureStore | None:
        """One process fills the cache, then all read it."""
        with self.accelerator.main_process_first():
            return cached_features(self.config, data.catalogs, self.network, self.accelerator.device)

    def _episodes(
        self,
        samplers: Sequence[EpisodeSampler],
        features: FeatureStore | None = None,
        augment: AugmentConfig | None = None,
    ) -> Mixture[Episode]:
        """The episodes of all benchmarks as one list."""
        data = self.config.data
        sizes: dict[str, Any] = {"short_side": data.short_side, "max_long_side": data.max_long_side}
        parts = [EpisodeDataset(s.catalog, s, **sizes, augment=augment, features=features) for s in samplers]
        return Mixture(parts, data.shares)

    # ------------------------------------------------------------------ one step

    def step(self, number: int, episodes: Episode) -> dict[str, float]:
        """Optimiser step `number` (from 0) on this process's share of the step's episodes; returns what it reports: the
        loss terms with `total`, `grad_norm` and `learning_rate`."""
        share = len(episodes.specs) / self.config.train.batch_episodes
        rate = learning_rate(number, self.config.train)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        self.network.train()
        with torch_randomness(self.config.seed, TRAINING_STEP, number, self.rank), self.accelerator.autocast():
            losses = self._backward(episodes, share)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._average_gradients(parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.config.train.clip_norm))
        self._reject_non_finite(number, episodes, losses, norm)
        self.optimizer.step()
        return {**self._average_losses(losses), "grad_norm": norm, "learning_rate": rate}

    def _backward(self, episodes: Episode, share: float) -> dict[str, float]:
        """Leaves the gradient of `share` times the mean loss; returns the mean of each loss term."""
        parts = episodes.by_size()
        if len(parts) == 1:
            return self.learner.backward(episodes.to(self.accelerator.device), share)
        mean: dict[str, float] = {}
        for part in parts:
            weight = len(part.specs) / len(episodes.specs)
            for name, value in self.learner.backward(part.to(self.accelerator.device), share * weight).items():
                mean[name] = mean.get(name, 0.0) + weight * value
        return mean

    def _average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Each process scaled its loss by its share of the episodes, so the sum of gradients is their mean.

        A parameter without gradient on every process stays so, as with one process: the optimiser passes it over.
        """
        if self.world == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        held = torch.tensor([float(p.grad is not None) for p in parameters], device=self.accelerator.device)
        summed: Any = self.accelerator.reduce([*gradients, held], reduction="sum")
        for parameter, gradient, processes in zip(parameters, summed[:-1], summed[-1].tolist(), strict=True):
            parameter.grad = gradient if processes else None

    def _average_losses(self, losses: dict[str, float]) -> dict[str, float]:
        """The losses of all processes' episodes, for the record: every process has equally many."""
        if self.world == 1:
            return losses
        mean: Any = self.accelerator.reduce(torch.tensor(list(losses.values()), device=self.accelerator.device), "mean")
        return dict(zip(losses, mean.tolist(), strict=True))

    def _reject_non_finite(self, number: int, episodes: Episode, losses: dict[str, float], norm: float) -> None:
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if not bad and math.isfinite(norm):
            return
        drawn = "; ".join(f"index {s.index}: class {s.category}, query video {s.query.video}" for s in episodes.specs)
        raise TrainingError(
            f"step {number}: {'loss ' + ', '.join(bad) if bad else 'gradient norm'} is not finite, so the weights "
            f"were left as they are. Episodes of split train, seed {self.config.seed}: {drawn}. "
            "Lower train.learning_rate, or use train.precision=fp32; the last checkpoint is intact"
        )

    # ------------------------------------------------------------------ the run around it

    def run(self) -> None:
        start = self._resume()
        steps = self.config.train.steps
        if steps == 0 and latest(self.run_folder) is None:  # nothing to train: the initial weights are what the run has
            self._record_start(0)
            self._save(0, None)
        self.accelerator.wait_for_everyone()
        if start >= steps:
            log.info("%s: the training is complete (%d of %d steps)", self.run_folder, start, steps)
            if self.rank == 0:
                clear_leftovers(self.run_folder)  # of a process that was killed after its last save
            return
        self._record_start(start)
        done, score = start, None
        with (
            Run(self.run_folder).log(step=start, main=self.rank == 0) as runlog,
            Progress("training", steps, done=start) as progress,
        ):
            try:
                for number, episodes in zip(range(start, steps), self._batches(start), strict=True):
                    # Weights, metrics and validation of one step belong together: Ctrl-C comes before or after them.
                    with uninterrupted():
                        report = self.step(number, episodes)
                        done, score = number + 1, None
                        progress.update(done, {"loss": report["total"]})
                        if self._due(done, self.config.machine.log_every):
                            runlog.scalars(done, "train", report)
                            if of_learner := self.learner.report():
                                runlog.scalars(done, "learner", of_learner)
                        validates = self.validation is not None and self._due(done, self.config.train.validate_every)
                        if validates or done == steps:  # one of these checkpoints is evaluated
                            count = self.config.train.validation_episodes
                            measure_familiar(self.network, self.measured, count, self.accelerator.device)
                        if validates:
                            score = self._validate(runlog, done)
                        # What is validated is saved: which checkpoint is the best never depends on checkpoint_every.
                        if score is not None or self._due(done, self.config.machine.checkpoint_every):
                            self._save(done, score)
                            self.accelerator.wait_for_everyone()
            except KeyboardInterrupt:
                if done > start:
                    log.info("interrupted: saving step %d", done)
                    self._save(done, score)
                raise
            runlog.hyperparameters(plain(self.config), {} if score is None else {"validation_JF": score})

    def _record_start(self, step: int) -> None:
        if self.rank == 0:
            Run(self.run_folder).add_start(seed=self.config.seed, step=step, data_changes=self.data_changes)

    def _due(self, done: int, every: int) -> bool:
        return done == self.config.train.steps or (every > 0 and done % every == 0)

    def _batches(self, start: int) -> Iterator[Episode]:
        """This process's slice of the episodes of each step; the same list for any number of workers."""
        size = self.config.train.batch_episodes
        slices = [
            list(rank_slice(step * size, (step + 1) * size, rank=self.rank, processes=self.world))
            for step in range(start, self.config.train.steps)
        ]
        workers = self.config.machine.loader_workers
        loader = DataLoader(
            _ErrorsAsItems(self.dataset),
            batch_sampler=slices,
            num_workers=workers,
            collate_fn=_collate_or_error,
            prefetch_factor=2 if workers else None,
            multiprocessing_context="forkserver" if workers else None,
        )
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch

    def _validate(self, runlog: RunLog, done: int) -> float:
        assert self.validation is not None
        began = time.perf_counter()
        scores, overlay = self.validation.run(self.learner, self.accelerator.device)
        values = {"J": scores.J, "F": scores.F, "JF": scores.JF, "seconds": time.perf_counter() - began}
        runlog.scalars(done, "validation", values)
        runlog.image(done, "validation/episode", torch.from_numpy(overlay.copy()).permute(2, 0, 1))
        log.info("step %d: validation J %.1f  F %.1f  J&F %.1f", done, scores.J, scores.F, scores.JF)
        return scores.JF

    def _save(self, done: int, score: float | None) -> None:
        if self.rank == 0:
            save_checkpoint(
                self.run_folder,
                done,
                model_state=self.network.head.state_dict(),
                learner_state=self.learner.own.state_dict(),
                optimizer=self.optimizer,
                encoders=self.encoders,
                extra={"step": done, "experiment": self.config.name, **self.origin.as_extra()},
                score=score,
                keep=self.config.machine.keep_checkpoints,
            )

    def _resume(self) -> int:
        folder = latest(self.run_folder)
        if folder is None:
            if self.rank == 0:
                store_encoders(self.run_folder, self.config, self.network.trunk)
            return 0
        extra = load_checkpoint(folder, model=self.network.head, learner=self.learner.own, optimizer=self.optimizer)
        log.info("resumed %s at step %d", folder, extra["step"])
        return int(extra["step"])


class _ErrorsAsItems(Dataset["Episode | UserError"]):
    """Episodes, or the error instead of one: a loader's worker would write its traceback into the message."""

    def __init__(self, episodes: Mixture[Episode]) -> None:
        self.episodes = episodes

    def __getitem__(self, index: int) -> Episode | UserError:
        try:
            return self.episodes[index]
        except UserError as error:
            return error


def _collate_or_error(items: list[Episode | UserError]) -> Episode | UserError:
    errors = [item for item in items if isinstance(item, UserError)]
    return errors[0] if errors else collate([item for item in items if isinstance(item, Episode)])


def build_samplers(config: ExperimentConfig, data: Benchmarks, split: str) -> tuple[EpisodeSampler, ...]:
    """The episodes of this experiment for split "train" or "val", of the videos that its group may train on, for each
    of the benchmarks."""
    episodes = config.episodes
    return tuple(
        EpisodeSampler(
            part,
            group=config.data.group,
            split=split,
            seed=config.seed,
            shots=episodes.shots,
            support_frames=episodes.support_frames,
            query_frames=episodes.query_frames,
            name_shuffle=episodes.name_shuffle if split == "train" else 0.0,
            validation_videos=episodes.validation_videos,
            small_classes=episodes.small_classes,
        )
        for part in data.training_parts(config.data.group)
    )


def build_optimizer(trained: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over every trainable parameter, each in exactly one group: matrices decay, vectors and scalars do not."""
    trainable = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Rate of optimiser step `step` (from 0): linear warm-up, then the schedule. Pure, so it resumes by itself."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * 0.1 ** sum(step >= milestone for milestone in config.milestones)
