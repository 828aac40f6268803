"""A small, strict part of YAML for experiments: plain values with known places, `extends`, and `key=value` overrides.

Plain scalars follow YAML 1.2 (`1e-4` is a number, `yes` and `2026-01-01` are words). Refused, each with its place:
anchors and aliases (a short file can unfold into gigabytes), tags (they name Python objects), duplicate keys (one of
the two values would silently vanish), several documents, and keys that are no words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from episodes.errors import ConfigError
from episodes.files import shown
from fewshot.config.shipped import own_or_shipped

Key = tuple[str, ...]
_OVERRIDE = "override "  # begins the place of a value that an override set
_MAX_DEPTH = 32
_MAX_BYTES = 1_000_000
_HINT = "Name a YAML file, such as experiments/demo.yaml."
_CORE_SCHEMA = (  # YAML 1.2 core schema: tag, pattern, first characters
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back as the same value, and never an alias."""

    yaml_implicit_resolvers = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, _pattern, _first in _CORE_SCHEMA:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


@dataclass(frozen=True)
class Document:
    """Plain values, and for each key path the place (`file:line`, or the override) that set it."""

    values: dict[str, Any]
    places: dict[Key, str] = field(default_factory=dict)

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
    """The file at `path` laid over all that it extends, later over earlier.

    `extends` is a path or a list of paths, relative to the file that names them. A file that does not exist there is
    looked for among the project's own. Raises ConfigError.
    """
    return _load(own_or_shipped(path), (), {})


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted keys, as overrides name them: `{"train.steps": 700, ...}`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def parse_document(text: str, source: str) -> Document:
    """A mapping written in YAML, without looking at `extends`. `source` names it in errors."""
    places: dict[Key, str] = {}
    values = _parse(text, source, places)
    if values is None:
        values = {}
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
    places: dict[Key, str] = {}
    parsed = _parse(value, place, places)
    shifted = dict.fromkeys((key + inner for inner in places), place)
    values: Any = parsed
    for part in reversed(key):
        values = {part: values}
    return Document(values, {**shifted, key: place})


def merge(base: Document, over: Document) -> Document:
    """`over` laid on `base`: mappings are merged key by key, everything else is replaced whole."""
    places = dict(base.places)
    values = _merge(base.values, over.values, (), places)
    places.update(over.places)
    return Document(values, places)


def dump(values: dict[str, Any]) -> str:
    """YAML text that `parse_document` reads back as equal values."""
    text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)
    return str(text)


# --------------------------------------------------------------------------- files


def _load(path: Path, chain: tuple[Path, ...], known: dict[Path, Document]) -> Document:
    here = path.resolve()
    if here in chain:
        names = " -> ".join(str(part) for part in (*chain[chain.index(here) :], here))
        raise ConfigError(f"`extends` goes in a circle: {names}. Remove one of these references.")
    if here in known:
        return known[here]
    own = parse_document(_read(path, chain), str(path))
    parents = own.values.pop("extends", [])
    parents = [parents] if isinstance(parents, str) else parents
    if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
        place = own.place(("extends",))
        raise ConfigError(f"{place}: `extends` is a path or a list of paths, found {shown(parents)}.")
    result = Document({}, {})
    for parent in parents:
        result = merge(result, _load(own_or_shipped(parent, path.parent), (*chain, here), known))
    known[here] = merge(result, Document(own.values, {k: v for k, v in own.places.items() if k[0] != "extends"}))
    return known[here]


def _read(path: Path, chain: tuple[Path, ...]) -> str:
    asked = f" (extended by {chain[-1]})" if chain else ""
    try:
        size = path.stat().st_size
        if not path.is_file() or size > _MAX_BYTES:
            raise ConfigError(
                f"{path}{asked} is no experiment: that is a YAML file of at most {_MAX_BYTES} bytes. {_HINT}"
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"Cannot read the experiment file {path}{asked}: {error.strerror}. {_HINT}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}{asked} is not UTF-8 text (byte {error.start}). {_HINT}") from error


# --------------------------------------------------------------------------- one text


def _parse(text: str, source: str, places: dict[Key, str]) -> Any:
    try:
        _refuse_dangerous(text, source)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        wrong = error.problem or error.context
        raise ConfigError(f"{source}{line}: this is not valid YAML: {wrong}. An experiment is a YAML file.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: this is not valid YAML: {error}.") from error
    return None if node is None else _value(node, source, (), places)


def _refuse_dangerous(text: str, source: str) -> None:
    """Look at the stream of events alone, before anything is built from it."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        place = f"{source}:{event.start_mark.line + 1}" if event.start_mark else source
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor is not None:
            raise ConfigError(
                f"{place}: anchors and aliases (&{anchor}, *{anchor}) are not allowed. "
                "Repeat the value, or move it to a file of its own and name that in `extends`."
            )
        if tag is not None:
            raise ConfigError(f"{place}: the tag {tag!r} is not allowed. Write the plain value; quotes keep text.")
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if documents > 1:
            raise ConfigError(f"{place}: a second YAML document starts here. Keep one document in a file.")
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{place}: values are nested more than {_MAX_DEPTH} deep.")


def _value(node: yaml.Node, source: str, key: Key, places: dict[Key, str]) -> Any:
    place = f"{source}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = _name(name_node, source)
            inner = (*key, name)
            line = f"{source}:{name_node.start_mark.line + 1}"
            if name in result:
                name = ".".join(inner)
                raise ConfigError(f"{line}: the key {name!r} is set twice (first at {places[inner]}). Keep one.")
            places[inner] = line
            result[name] = _value(value_node, source, inner, places)
        return result
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            inner = (*key, str(index))
            places[inner] = f"{source}:{item.start_mark.line + 1}"
            items.append(_value(item, source, inner, places))
        return items
    return _scalar(node.tag.rpartition(":")[2], node.value, place)


def _name(node: yaml.Node, source: str) -> str:
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
        return str(node.value)
    raise ConfigError(f"{source}:{node.start_mark.line + 1}: a key must be a word, found {shown(node.value)}.")


def _scalar(kind: str, text: str, place: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        digits = text.lstrip("+-")
        if len(digits) > 30:
            raise ConfigError(f"{place}: the number {text[:30]}... has {len(digits)} digits; at most 30 are read.")
        return int(text, 0) if digits[:2] in ("0x", "0o") else int(text)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _merge(base: Any, over: Any, key: Key, places: dict[Key, str]) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for name, value in over.items():
            inner = (*key, name)
            merged[name] = _merge(base[name], value, inner, places) if name in base else value
        return merged
    for stale in [known for known in places if known[: len(key)] == key]:
        del places[stale]
    return over
