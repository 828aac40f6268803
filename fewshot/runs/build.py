"""What training and evaluation build from a config alike: catalog, network, cached features."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from episodes.catalog import VideoCatalog
from episodes.decode import DAMAGE, decode_mask, decode_picture
from episodes.errors import LayoutError, ReadError
from episodes.readers import read_benchmark
from episodes.readers.index import Unnamed
from episodes.types import VideoRecord
from fewshot.config.experiment import ExperimentConfig
from fewshot.runs.benchmarks import Benchmarks
from fewshot.runs.checkpoint import read_encoder_weights
from fewshot.runs.encoders import (
    StoredEncoders,
    image_fingerprint,
    read_encoders,
    reject_other_encoders,
    stores_encoders,
)
from fewshot.runs.features import FeatureStore
from fewshot.runs.initial_weights import read_initial_weights
from fewshot.runs.progress import Progress
from fewshot.runs.randomness import INITIAL_WEIGHTS, torch_randomness
from models.config import ModelConfig
from models.network import FewShotRVOS, build_head
from models.trunk import Trunk

log = logging.getLogger(__name__)


def new_network(config: ExperimentConfig) -> FewShotRVOS:
    """The network that a training starts with: the initial weights that the experiment names, all others by its seed
    alone.
    """
    given = None if config.initial_folder is None else read_initial_weights(config.initial_folder)
    with torch_randomness(config.seed, INITIAL_WEIGHTS):
        network = _build(config, Trunk(_section(config, None if given is None else given.encoders)))
    if given is not None:
        given.put_into(network, config.model)
    return network


def restored_network(config: ExperimentConfig, checkpoint: Path) -> FewShotRVOS:
    """The network of a checkpoint RUN/checkpoints/NAME: encoders from RUN or by name, and a head without values, into
    which the checkpoint is still to be loaded.

    Raises CheckpointError where an encoder has other weights than those that the checkpoint was trained with.
    """
    run_folder = checkpoint.parents[1]
    stored = read_encoders(run_folder) if stores_encoders(run_folder) else None
    with torch_randomness(config.seed, INITIAL_WEIGHTS):  # encoders draw values before they load others
        trunk = Trunk(_section(config, stored))
    if stored is not None:
        stored.put_into(trunk)
    reject_other_encoders(checkpoint, read_encoder_weights(checkpoint), trunk, config.model)
    with torch.device("meta"):
        network = _build(config, trunk)
    network.head.to_empty(device="cpu")
    return network


def _section(config: ExperimentConfig, encoders: StoredEncoders | None) -> ModelConfig:
    return config.model if encoders is None else encoders.section(config.model)


def _build(config: ExperimentConfig, trunk: Trunk) -> FewShotRVOS:
    head = build_head(config.model, trunk.image.channels, trunk.text.dim, trunk.image.semantic_channels)
    head.scope(config.learner.scope)  # a wrong name is rejected before training, not at the evaluation after it
    return FewShotRVOS(config.model, trunk, head)


def open_catalog(config: ExperimentConfig) -> VideoCatalog:
    """The index of the benchmark in `data.root`; raises LayoutError where it contradicts itself."""
    return open_benchmark(config.data.root, "data.root", config.data.unnamed)


def open_benchmarks(config: ExperimentConfig) -> Benchmarks:
    """The indices of all benchmarks that the experiment trains on; LayoutError as `open_catalog`."""
    others = [open_benchmark(other.root, "data.others", other.unnamed) for other in config.data.others]
    return Benchmarks((open_catalog(config), *others))


def open_benchmark(root: Path, key: str, unnamed: Unnamed) -> VideoCatalog:
    """The index of the benchmark in the folder that the config names in `key`; LayoutError where it is faulty.

    unnamed: as in `read_benchmark`.
    """
    try:
        catalog = read_benchmark(root, unnamed)
        catalog.reject_errors()
    except LayoutError as error:
        raise LayoutError(f"{key}: {error}") from error
    for note in catalog.notes:
        log.info("%s: %s", root, note)
    return catalog


def cached_features(
    config: ExperimentConfig, catalogs: Iterable[VideoCatalog], network: FewShotRVOS, device: torch.device | str
) -> FeatureStore | None:
    """Trunk features of all frames of the benchmarks, computed where missing; None if the config caches nothing."""
    if config.machine.cache is None:
        return None
    videos = [video for catalog in catalogs for video in catalog.videos.values()]
    _reject_other_sizes(videos)
    image = network.trunk.image
    sizes = config.data.short_side, config.data.max_long_side
    store = FeatureStore(config.machine.cache, image_fingerprint(image), *sizes)
    frames = [video.frame_path(frame) for video in videos for frame in video.frames]
    missing = store.missing(frames)
    if missing:
        log.info(
            "image features: %d of %d frames are kept in %s", len(frames) - len(missing), len(frames), store.folder
        )
        with Progress("image features", len(missing), unit="frame") as progress:
            store.fill(missing, image, device, progress.update)
    return store


def fill_cache(config: ExperimentConfig) -> FeatureStore | None:
    """Compute all image features that a run of this config reads; None if it caches none.

    Runs that start at the same time, on one benchmark and encoder, then find them and do not compute them twice.
    """
    if config.machine.threads:
        torch.set_num_threads(config.machine.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return cached_features(config, open_benchmarks(config).catalogs, new_network(config).to(device), device)


def _reject_other_sizes(videos: Iterable[VideoRecord]) -> None:
    """Beside stored features no picture is decoded, so its size is compared with that of its mask here."""
    for video in videos:
        for picture, mask in ((video.frame_path(frame), video.mask_path(frame)) for frame in video.frames):
            if mask.is_file() and (found := _size(mask, decode_mask)) != (wanted := _size(picture, decode_picture)):
                raise ReadError(
                    f"{mask}: {found[0]} x {found[1]}, but its picture {picture} is {wanted[0]} x {wanted[1]} pixels "
                    "(width x height); write both at the same size"
                )


def _size(path: Path, decode: Callable[[Path], NDArray[np.uint8]]) -> tuple[int, int]:
    """(width, height) from the file's header; ReadError of `decode` if it has none."""
    try:
        with Image.open(path) as image:
            return image.size
    except DAMAGE:
        height, width = decode(path).shape[:2]
        return width, height
