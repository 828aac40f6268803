"""An experiment's values and where each was set: files that extend others, and `key=value` overrides."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from episodes.errors import ConfigError
from episodes.files import shown
from fewshot.config.yaml_text import Key, Places, read_yaml

_OVERRIDE = "override "  # first word of the place of a value that an override set
_MAX_BYTES = 1_000_000
_HINT = "Name a YAML file, such as experiments/demo.yaml."
_FOLDERS = ("configs", "experiments")  # that come with the project; files of the one extend files of the other
_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "shipped"  # where setup.py puts the two folders in a wheel


@dataclass(frozen=True)
class Document:
    """Plain values, and for each key path the place (`file:line`, or the override) that set it."""

    values: dict[str, Any]
    places: Places = field(default_factory=dict)

    def place(self, key: Key) -> str:
        """Where the key was set, or its nearest parent that has a place; empty for a default."""
        while key and key not in self.places:
            key = key[:-1]
        return self.places.get(key, "")

    def overrides(self, key: Key) -> list[str]:
        """The overrides that set the key, or something in it."""
        inside = [place for known, place in self.places.items() if known[: len(key)] == key]
        return list(dict.fromkeys(place for place in inside if place.startswith(_OVERRIDE)))


def load_document(path: Path) -> Document:
    """The file at `path` merged onto all that it extends; later files win.

    `extends` is a path or a list of paths, relative to the file that names them. A file that does not exist there is
    looked for among the project's own. Raises ConfigError.
    """
    return _load(own_or_shipped(path), (), {})


def own_or_shipped(name: Path | str, beside: Path = Path()) -> Path:
    """The file `name`, relative to the folder `beside`; where there is none, the project's own file of that name."""
    own = beside / name
    if os.path.exists(own) or next(iter(Path(name).parts), None) not in _FOLDERS:
        return own
    shipped = (_INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent) / name
    return shipped if os.path.isfile(shipped) else own


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted keys, as overrides name them: `{"train.steps": 700, ...}`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def parse_document(text: str, source: str) -> Document:
    """A mapping written in YAML, without looking at `extends`. `source` names it in errors."""
    values, places = read_yaml(text, source)
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: an experiment is a mapping of keys to values, found {shown(values)}.")
    return Document(values, places)


def parse_override(text: str) -> Document:
    """`train.steps=100` as a document of one value; the value is YAML (`evaluate.shots=[1,5]`)."""
    name, equals, value = text.partition("=")
    key = tuple(name.strip().split("."))
    if not equals or not all(re.fullmatch(r"[A-Za-z_][\w-]*", part) for part in key):
        raise ConfigError(f"Override {text!r} is not key=value. Write train.steps=100, or evaluate.shots=[1,5].")
    place = f"{_OVERRIDE}{text!r}"
    values, places = read_yaml(value, place)
    for part in reversed(key):
        values = {part: values}
    return Document(values, dict.fromkeys((key, *(key + inner for inner in places)), place))


def merge(base: Document, over: Document) -> Document:
    """`over` merged onto `base`: mappings are merged key by key, everything else is replaced as a whole."""
    places = dict(base.places)
    values = _merge(base.values, over.values, (), places)
    places.update(over.places)
    return Document(values, places)


# --------------------------------------------------------------------------- files


def _load(path: Path, chain: tuple[Path, ...], loaded: dict[Path, Document]) -> Document:
    here = path.resolve()
    if here in chain:
        names = " -> ".join(str(part) for part in (*chain[chain.index(here) :], here))
        raise ConfigError(f"`extends` goes in a circle: {names}. Remove one of these references.")
    if here in loaded:
        return loaded[here]
    own = parse_document(_read(path, chain), str(path))
    parents = own.values.pop("extends", [])
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        place = own.place(("extends",))
        raise ConfigError(f"{place}: `extends` is a path or a list of paths, found {shown(parents)}.")
    result = Document({}, {})
    for parent in parents:
        result = merge(result, _load(own_or_shipped(parent, path.parent), (*chain, here), loaded))
    loaded[here] = merge(result, Document(own.values, {k: v for k, v in own.places.items() if k[0] != "extends"}))
    return loaded[here]


def _read(path: Path, chain: tuple[Path, ...]) -> str:
    name = f"{path} (extended by {chain[-1]})" if chain else str(path)
    try:
        size = path.stat().st_size
        if not path.is_file() or size > _MAX_BYTES:
            raise ConfigError(f"{name} is not a YAML file of at most {_MAX_BYTES} bytes. {_HINT}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"Cannot read the experiment file {name}: {error.strerror}. {_HINT}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 text (byte {error.start}). {_HINT}") from error


def _merge(base: Any, over: Any, key: Key, places: Places) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for name, value in over.items():
            inner = (*key, name)
            merged[name] = _merge(base[name], value, inner, places) if name in base else value
        return merged
    for stale in [known for known in places if known[: len(key)] == key]:
        del places[stale]
    return over
