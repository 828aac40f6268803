"""YAML as experiments use it: plain values, and the line of each.

Plain scalars follow the core schema of YAML 1.2 (`1e-4` is a number, `yes` and `2026-01-01` are words). Rejected, each
with its line: anchors and aliases (a short file can unfold into gigabytes), tags (they name Python objects), duplicate
keys (one of the two values would silently vanish), several documents, and keys that are not words.
"""

import io
import re
from typing import Any, NoReturn

from ruamel.yaml import YAML, events
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver

from episodes.errors import ConfigError
from episodes.files import shown

Key = tuple[str, ...]
Places = dict[Key, str]
_MAX_DEPTH = 32
_MAX_DIGITS = 30
_CORE_SCHEMA = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}


class _CoreResolver(VersionedResolver):
    """Without what ruamel.yaml adds to the core schema: dates, `1_000`, and YAML 1.1 where a file asks for it."""

    versioned_resolver = {  # noqa: RUF012
        None: [(f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{text})$")) for tag, text in _CORE_SCHEMA.items()]
    }


def read_yaml(text: str, source: str) -> tuple[Any, Places]:
    """The plain value that the text holds (None if it is empty), and for each key path in it its `source:line`.

    Raises ConfigError.
    """
    reader = _Reader(text, source)
    return reader.read(), reader.places


def dump(values: dict[str, Any]) -> str:
    """YAML text that `read_yaml` reads back as equal values."""
    stream = io.StringIO()
    _yaml().dump(values, stream)
    return stream.getvalue()


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver = _CoreResolver
    yaml.default_flow_style = False
    yaml.width = 120
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.representer.ignore_aliases = lambda _: True
    return yaml


class _Reader:
    """Builds values from the parser's events, in one pass: what is not allowed is rejected where it begins."""

    def __init__(self, text: str, source: str) -> None:
        self.yaml = _yaml()
        self.events = self.yaml.parse(text)
        self.source = source
        self.places: Places = {}

    def read(self) -> Any:
        """The value of the only document, None if there is none."""
        value: Any = None
        documents = 0
        try:
            for event in self.events:
                documents += isinstance(event, events.DocumentStartEvent)
                if documents > 1:
                    self._reject(event, "a second YAML document starts here. Keep one document in a file.")
                if isinstance(event, events.NodeEvent):
                    value = self._value(event, ())
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            place = self.source if mark is None else f"{self.source}:{mark.line + 1}"
            what = " ".join(str(getattr(error, "problem", None) or error).split())
            raise ConfigError(f"{place}: this is not valid YAML: {what}. An experiment is a YAML file.") from error
        return value

    def _value(self, event: Any, key: Key) -> Any:
        """The value that begins with `event`, and the places of all that is in it."""
        if event.anchor is not None:
            why = "Repeat the value, or move it to a file of its own and name that in `extends`."
            self._reject(event, f"anchors and aliases (&{event.anchor}, *{event.anchor}) are not allowed. {why}")
        if event.tag is not None:
            self._reject(event, f"the tag {event.tag!r} is not allowed. Write the plain value; quotes keep text.")
        if isinstance(event, events.ScalarEvent):
            return self._scalar(event)
        if len(key) >= _MAX_DEPTH:
            self._reject(event, f"values are nested more than {_MAX_DEPTH} deep.")
        if isinstance(event, events.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := next(self.events), events.SequenceEndEvent):
                inner = (*key, str(len(items)))
                self.places[inner] = self._place(event)
                items.append(self._value(event, inner))
            return items
        result: dict[str, Any] = {}
        while not isinstance(start := next(self.events), events.MappingEndEvent):
            name = self._value(start, (*key, ""))
            if not isinstance(name, str):
                self._reject(start, f"a key must be a word, found {shown(name)}.")
            inner = (*key, name)
            if name in result:
                first = self.places[inner]
                self._reject(start, f"the key {'.'.join(inner)!r} is set twice (first at {first}). Keep one.")
            self.places[inner] = self._place(start)
            result[name] = self._value(next(self.events), inner)
        return result

    def _scalar(self, event: events.ScalarEvent) -> Any:
        tag = str(self.yaml.resolver.resolve(ScalarNode, event.value, event.implicit))
        if tag.endswith(":int") and len(event.value) > _MAX_DIGITS:
            self._reject(event, f"the number {event.value[:20]}... has more than {_MAX_DIGITS} digits.")
        return self.yaml.constructor.construct_object(ScalarNode(tag, event.value))

    def _place(self, event: events.Event) -> str:
        return f"{self.source}:{event.start_mark.line + 1}"

    def _reject(self, event: events.Event, why: str) -> NoReturn:
        raise ConfigError(f"{self._place(event)}: {why}")
