"""Image features of frames, from the frozen encoder, computed once and kept on disk.

A frame's features are a function of its file's content, the picture size and the encoder, so that is their key: a moved
benchmark is still found, a changed picture or encoder is not. Only for frames without augmentation.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from episodes.decode import read_frame
from episodes.errors import WeightsError
from episodes.files import file_digest, write_whole
from episodes.types import Pyramid
from models.backbone import ImageEncoder

log = logging.getLogger(__name__)
FRAMES_AT_ONCE = 16  # of one size, passed through the encoder together: 100 MB of activations, enough for two cores


class FeatureStore:
    """Call it with paths of frames: it reads their features. Call `fill` first with all frames ever asked for."""

    def __init__(self, folder: Path, fingerprint: str, short_side: int, max_long_side: int | None = None) -> None:
        preprocessing = f"{fingerprint}:{short_side}:{max_long_side}:bilinear-antialias:v1"
        self.folder = folder / hashlib.sha256(preprocessing.encode()).hexdigest()[:16]
        self.short_side = short_side
        self.max_long_side = max_long_side
        self._names: dict[Path, Path] = {}

    def _file(self, path: Path) -> Path:
        if path not in self._names:
            digest = file_digest(path)
            self._names[path] = self.folder / digest[:2] / f"{digest}.safetensors"
        return self._names[path]

    def __call__(self, paths: Sequence[Path]) -> Pyramid:
        """Features (1, T, c, h, w) in float16 of T frames of one clip."""
        rows = [_read(self._file(path)) for path in paths]
        return Pyramid(**{name: torch.stack([row[name] for row in rows])[None] for name in rows[0]})

    def missing(self, paths: Iterable[Path]) -> list[Path]:
        """The frames whose features are not kept yet."""
        return [path for path in paths if not self._file(path).exists()]

    def fill(
        self,
        paths: Iterable[Path],
        encoder: ImageEncoder,
        device: torch.device | str = "cpu",
        advance: Callable[[int], None] = lambda done: None,
    ) -> int:
        """Computes what is missing and returns how many frames that were; calls `advance(frames done)` now and then."""
        done = 0
        batch: list[tuple[Path, Tensor]] = []
        for path in self.missing(paths):
            frame = read_frame(path, short_side=self.short_side, max_long_side=self.max_long_side)
            if batch and (len(batch) == FRAMES_AT_ONCE or batch[0][1].shape != frame.shape):
                done += self._encode(batch, encoder, device)
                advance(done)
                batch = []
            batch.append((path, frame))
        if batch:
            done += self._encode(batch, encoder, device)
            advance(done)
        return done

    def _encode(self, batch: list[tuple[Path, Tensor]], encoder: ImageEncoder, device: torch.device | str) -> int:
        frames = torch.stack([frame for _, frame in batch])[None].to(device)
        features = encoder(frames).map(lambda f: f[0].half().cpu())
        for row, (path, _) in enumerate(batch):
            tensors = {name: value[row].contiguous() for name, value in features.maps().items()}
            if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
                raise WeightsError(
                    f"{encoder.name} gives features of {path} that float16 cannot hold; turn the feature cache off "
                    "with machine.cache=null"
                )
            # Not safetensors' own file writer: a full disk does not raise an OSError there.
            write_whole(self._file(path), save(tensors))
        return len(batch)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except SafetensorError as error:
        raise WeightsError(f"{file} is damaged ({error}); remove it, and its features are computed again") from error
