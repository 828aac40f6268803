"""What a benchmark holds, as digests: equal for equal benchmarks wherever they lie, with enough detail to name changes.

Videos are compared by their index (frames, objects, sentences) and by their files. Of a mask every byte counts; of a
picture only name and size in bytes, because pictures make up nearly all of a benchmark (20 GB and more), and to read
them at every start would take minutes. A picture that was encoded again to exactly as many bytes is therefore missed.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from episodes.files import json_digest
from episodes.types import VideoRecord

_THREADS = 8  # they wait for the disk, not for each other
_SHORT = 8  # hexadecimal digits of the digests that only name changes
_NAMED = 3  # videos that a message names of each kind


@dataclass(frozen=True)
class BenchmarkContent:
    """`hash` (sha256, hex) decides whether two benchmarks are the same. The others name what differs: short digests of
    the class list, of the lists of videos that confine groups, and, by video, of its index and of its files."""

    hash: str
    classes: str
    splits: str
    index: Mapping[str, str]
    files: Mapping[str, str]

    def changes(self, now: Self) -> list[str]:
        """What is different in `now`, in a few phrases with the first videos of each kind; empty if nothing is."""
        if now.hash == self.hash:
            return []
        shared = [video for video in self.index if video in now.index]
        lists = {"the class list": self.classes != now.classes, "the split lists": self.splits != now.splits}
        videos = {
            "removed": [video for video in self.index if video not in now.index],
            "added": [video for video in now.index if video not in self.index],
            "with other frames, objects or sentences": [v for v in shared if self.index[v] != now.index[v]],
            "with other masks or pictures": [v for v in shared if self.files[v] != now.files[v]],
        }
        changes = [name for name, differs in lists.items() if differs]
        for kind, names in videos.items():
            if names:
                more = ", ..." if len(names) > _NAMED else ""
                changes.append(f"{len(names)} video{'s' * (len(names) > 1)} {kind} ({', '.join(names[:_NAMED])}{more})")
        return changes or ["files"]


def read_content(
    classes: Sequence[str], videos: Iterable[VideoRecord], splits: Mapping[tuple[int, Any], frozenset[str]]
) -> BenchmarkContent:
    """Reads every mask and the size of every picture, about 2 seconds for 100,000 small files."""
    records = sorted(videos, key=lambda video: video.id)
    index = {video.id: json_digest([video.frames, video.objects, video.expressions]) for video in records}
    with ThreadPoolExecutor(_THREADS) as pool:
        files = dict(zip(index, pool.map(_files, records), strict=True))
    lists = [[*group, sorted(names)] for group, names in sorted(splits.items())]
    return BenchmarkContent(
        hash=json_digest([list(classes), lists, index, files]),
        classes=json_digest(list(classes))[:_SHORT],
        splits=json_digest(lists)[:_SHORT],
        index={video: digest[:_SHORT] for video, digest in index.items()},
        files={video: digest[:_SHORT] for video, digest in files.items()},
    )


def joined_content(contents: Sequence[BenchmarkContent]) -> BenchmarkContent:
    """Of several benchmarks together, in this order; changes name a video by its benchmark's number, from 1, and its
    id. A single one stays what it is."""
    if len(contents) == 1:
        return contents[0]
    numbered = list(enumerate(contents, start=1))
    return BenchmarkContent(
        hash=json_digest([content.hash for content in contents]),
        classes=json_digest([content.classes for content in contents])[:_SHORT],
        splits=json_digest([content.splits for content in contents])[:_SHORT],
        index={f"{number}/{video}": digest for number, content in numbered for video, digest in content.index.items()},
        files={f"{number}/{video}": digest for number, content in numbered for video, digest in content.files.items()},
    )


def _files(video: VideoRecord) -> str:
    """Digest of (picture's name, its size in bytes, digest of the mask) of each frame; None where a file is absent."""
    facts = []
    for frame in video.frames:
        picture, mask = video.frame_path(frame), video.mask_path(frame)
        size = picture.stat().st_size if picture.is_file() else None
        read = mask.stat() if mask.is_file() else None
        facts.append((picture.name, size, read and _mask_digest(mask, read.st_size, read.st_mtime_ns)))
    return json_digest(facts)


@cache
def _mask_digest(path: Path, size: int, modified: int) -> str:
    """Kept by size and time of the last change (ns), so that a process reads an unchanged file once."""
    return hashlib.sha256(path.read_bytes()).hexdigest()  # of small files much faster than in blocks
