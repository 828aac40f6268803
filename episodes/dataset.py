"""From specs to tensors: decode, resize, augment, pad, batch.

Shapes: N clips, T frames of a clip, H W picture size (padded right and bottom to multiples of 32).
"""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from episodes.catalog import VideoCatalog
from episodes.config import AugmentConfig
from episodes.decode import decode_picture, read_mask
from episodes.errors import ConfigError, ReadError
from episodes.geometry import resize_frames, resize_ids, target_size
from episodes.padding import pad, padded_size, valid_area
from episodes.sampling import SPLITS, EpisodeSampler
from episodes.transforms import ClipChange, draw_change
from episodes.types import ClipRef, Clips, Episode, Pyramid, Support, Truth

Features = Callable[[list[Path]], Pyramid]
AUGMENTATION = 301  # stream of random numbers


class EpisodeDataset(Dataset[Episode]):
    """`dataset[index]` is episode `index` of the sampler, as tensors; give the loader a list of indices.

    `augment` changes the clips of split "train" only. `features` answers with trunk features of the listed pictures,
    as `episodes.decode.read_frame` resizes and pads them, and no picture is decoded. The two exclude each other.
    """

    def __init__(
        self,
        catalog: VideoCatalog,
        sampler: EpisodeSampler,
        short_side: int,
        *,
        max_long_side: int | None = None,
        augment: AugmentConfig | None = None,
        features: Features | None = None,
    ) -> None:
        if augment is not None and features is not None:
            raise ConfigError(
                "kept image features are of unchanged pictures: set machine.cache=null or episodes.augment=null"
            )
        self.catalog = catalog
        self.sampler = sampler
        self.short_side = short_side
        self.max_long_side = max_long_side
        self.augment = augment if sampler.split == "train" else None
        self.features = features

    def __getitem__(self, index: int) -> Episode:
        spec = self.sampler[index]
        clips, truths = [], []
        for position, ref in enumerate((*spec.support, spec.query)):
            change = None
            if self.augment is not None:
                rng = np.random.default_rng([spec.seed, SPLITS[spec.split], spec.index, AUGMENTATION, position])
                change = draw_change(self.augment, rng, self.short_side)
            clip, truth = load_clip(
                self.catalog,
                ref,
                spec.category,
                spec.alias,
                short_side=self.short_side,
                max_long_side=self.max_long_side,
                transform=change,
                features=self.features,
            )
            clips.append(clip)
            truths.append(truth)
        support = Support(join_clips(clips[:-1]), join_truths(truths[:-1]).masks)
        return Episode((spec,), support, query=clips[-1], truth=truths[-1])


def load_clip(
    catalog: VideoCatalog,
    ref: ClipRef,
    category: str,
    alias: str,
    *,
    short_side: int,
    max_long_side: int | None = None,
    transform: ClipChange | None = None,
    features: Features | None = None,
) -> tuple[Clips, Truth]:
    """One annotated clip (N = 1) at network size. ReadError names a file that is missing, damaged, or of another size.

    Pictures are resized bilinearly, masks to the nearest pixel. With `features`, `frames` is None.
    """
    video = catalog.videos[ref.video]
    ids = _stack(catalog, ref)
    height, width = ids.shape[1:]
    wanted = transform.short_side if transform is not None else short_side
    size = target_size(height, width, wanted, max_long_side)
    padded = padded_size(*size)
    small_ids = resize_ids(torch.from_numpy(ids), size)
    text = rename(catalog.expression(ref.video, ref.expression_id).text, category, alias)
    paths = [video.frame_path(frame) for frame in ref.frames]
    frames, pyramid = None, None
    if features is not None:
        pyramid = features(paths)
        stored = tuple(4 * side for side in pyramid.f4.shape[-2:])
        if stored != padded:
            facts = f"its features are of a picture of {stored}, its mask asks for {padded}: remove its features"
            raise ReadError(f"{paths[0]}: {facts}")
    else:
        small = resize_frames(_pictures(paths, (height, width)), size)
        if transform is not None:
            small, small_ids = transform.change(small, small_ids)
            text = transform.sentence(text)
        frames = pad(small, padded).unsqueeze(0)
    plain = pad(small_ids, padded).unsqueeze(0)
    class_masks = torch.zeros_like(plain, dtype=torch.bool)
    for record in video.objects_of(category):  # a few comparisons: ten times as fast as torch.isin
        class_masks |= plain == int(record.id)
    clips = Clips(
        valid=valid_area(size, padded).unsqueeze(0),
        times=torch.tensor([_times(video.frames, ref.frames)]),
        sentences=(text,),
        frames=frames,
        features=pyramid,
    )
    return clips, Truth(plain == int(ref.object_id), class_masks)


def clip_of_frames(frames: Tensor, sentence: str, *, short_side: int, max_long_side: int | None = None) -> Clips:
    """A clip without annotation, at network size: frames (T, 3, H, W) uint8 RGB in time order -> one clip (N = 1)."""
    size = target_size(frames.shape[-2], frames.shape[-1], short_side, max_long_side)
    padded = padded_size(*size)
    return Clips(
        valid=valid_area(size, padded).unsqueeze(0),
        times=torch.linspace(0, 1, len(frames)).unsqueeze(0),
        sentences=(sentence,),
        frames=pad(resize_frames(frames, size), padded).unsqueeze(0),
    )


def load_masks(catalog: VideoCatalog, ref: ClipRef) -> np.ndarray:
    """(T, H, W) bool masks of the clip's object at the size of its files."""
    return _stack(catalog, ref) == int(ref.object_id)


def load_other_objects(catalog: VideoCatalog, ref: ClipRef, size: tuple[int, int]) -> np.ndarray:
    """(T, *size) uint8 ids of the other annotated objects of the clip's video, 0 elsewhere; size: (height, width)."""
    listed = [int(record.id) for record in catalog.videos[ref.video].objects if record.id != ref.object_id]
    kept = np.zeros(256, np.uint8)  # what becomes of each id
    kept[listed] = listed
    ids: np.ndarray = kept[resize_ids(torch.from_numpy(_stack(catalog, ref)), size).numpy()]
    return ids


def rename(text: str, category: str, alias: str) -> str:
    """The sentence with the class's name replaced by another: as whole words, in any case, with its article.

    A name's underscores stand for spaces or hyphens: "giant_panda" is found in "the giant panda".
    """
    if alias == category:
        return text
    name = r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", category)))
    shown = re.sub("_", " ", alias)

    def replaced(match: re.Match[str]) -> str:
        word = shown[0].upper() + shown[1:] if match["name"][0].isupper() else shown
        if not match["article"]:
            return word
        article = "an" if shown[0].lower() in "aeiou" else "a"
        return f"{match['article'][0]}{article[1:]}{match['gap']}{word}"

    pattern = rf"(?<!\w)(?:(?P<article>an?)(?P<gap>\s+))?(?P<name>{name})(?!\w)"
    return re.sub(pattern, replaced, text, flags=re.IGNORECASE)


def join_clips(clips: list[Clips]) -> Clips:
    """One batch of all clips, padded to the largest of them. ValueError if they differ in their number of frames."""
    if len(clips) == 1:
        return clips[0]
    lengths = sorted({clip.times.shape[1] for clip in clips})
    if len(lengths) > 1:
        raise ValueError(f"clips of {lengths} frames cannot be one batch: load clips of different length one by one")
    pictures = [clip.frames for clip in clips if clip.frames is not None]
    pyramids = [clip.features for clip in clips if clip.features is not None]
    if len(pictures) not in (0, len(clips)) or len(pyramids) not in (0, len(clips)):
        raise ValueError("either all clips of a batch carry frames (features), or none does")
    maps = [pyramid.maps() for pyramid in pyramids]
    if len({frozenset(of_clip) for of_clip in maps}) > 1:
        raise ValueError("either all clips of a batch carry a map of the pyramid, or none does")
    return Clips(
        valid=_joined([clip.valid for clip in clips]),
        times=torch.cat([clip.times for clip in clips]),
        sentences=tuple(sentence for clip in clips for sentence in clip.sentences),
        frames=_joined(pictures) if pictures else None,
        features=Pyramid(**{name: _joined([of_clip[name] for of_clip in maps]) for name in maps[0]}) if maps else None,
    )


def join_truths(truths: list[Truth]) -> Truth:
    """The masks of several clips as one batch, padded as `join_clips` pads the clips."""
    of_class = [truth.class_masks for truth in truths if truth.class_masks is not None]
    masks = _joined([truth.masks for truth in truths])
    return Truth(masks, _joined(of_class) if len(of_class) == len(truths) else None)


def _joined(parts: list[Tensor]) -> Tensor:
    """(n, ..., H, W) each -> one batch, padded to the largest of them."""
    size = (max(part.shape[-2] for part in parts), max(part.shape[-1] for part in parts))
    return parts[0] if len(parts) == 1 else torch.cat([pad(part, size) for part in parts])


def collate(episodes: list[Episode]) -> Episode:
    """One batch of several episodes with the same number of shots."""
    shots = sorted({episode.shots for episode in episodes})
    if len(shots) != 1:
        raise ValueError(f"episodes of {shots} shots cannot be one batch")
    return Episode(
        specs=tuple(spec for episode in episodes for spec in episode.specs),
        support=Support(
            join_clips([episode.support.clips for episode in episodes]),
            _joined([episode.support.masks for episode in episodes]),
        ),
        query=join_clips([episode.query for episode in episodes]),
        truth=join_truths([episode.truth for episode in episodes]),
    )


def _stack(catalog: VideoCatalog, ref: ClipRef) -> np.ndarray:
    """(T, H, W) uint8 object ids at the size of the files."""
    paths = [catalog.videos[ref.video].mask_path(frame) for frame in ref.frames]
    masks = [read_mask(path) for path in paths]
    for path, mask in zip(paths, masks, strict=True):
        if mask.shape != masks[0].shape:
            raise ReadError(f"{path}: {_size(mask)}, but {paths[0].name} is {_size(masks[0])}; a video has one size")
    return np.stack(masks)


def _pictures(paths: list[Path], size: tuple[int, int]) -> Tensor:
    """(T, 3, H, W) uint8; every picture must have the size (height, width) of its mask."""
    pictures = [decode_picture(path) for path in paths]
    for path, picture in zip(paths, pictures, strict=True):
        if picture.shape[:2] != size:
            found = f"{_size(picture)}, but its mask is {size[1]} x {size[0]} pixels (width x height)"
            raise ReadError(f"{path}: {found}; write both at the same size")
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _times(video: tuple[str, ...], clip: tuple[str, ...]) -> list[float]:
    position = {frame: index for index, frame in enumerate(video)}
    return [position[frame] / (len(video) - 1) if len(video) > 1 else 0.0 for frame in clip]


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
