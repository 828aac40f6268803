"""pydantic's errors as sentences: which key, where it was set, which value, what is allowed."""

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from episodes.files import shown
from fewshot.config.document import Document
from fewshot.config.yaml_text import Key


def explain(error: ValidationError, model: type[BaseModel], document: Document, source: str) -> str:
    """One paragraph that names every fault of `document` against `model`."""
    faults = error.errors(include_url=False)
    # pydantic also counts the items of a list without the faulty ones, and calls that list too short.
    lists = {fault["loc"][:-1] for fault in faults}
    faults = [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in lists]
    count = "1 error" if len(faults) == 1 else f"{len(faults)} errors"
    if any(document.overrides(tuple(map(str, fault["loc"]))) for fault in faults):
        source = f"{source} (with overrides)"
    return f"{source} has {count}: " + " ".join(_sentence(dict(fault), model, document) for fault in faults)


def key_paths(model: type[BaseModel], prefix: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every key path of the config tree below `model`, sections included, with its pydantic field."""
    for name, field in model.model_fields.items():
        key = (*prefix, field.alias or name)
        yield key, field
        section = _section(field)
        if section is not None:
            yield from key_paths(section, key)


def _sentence(fault: dict[str, Any], model: type[BaseModel], document: Document) -> str:
    key: Key = tuple(str(part) for part in fault["loc"])
    fields = dict(key_paths(model))
    name = ".".join(key)
    own = tuple(part for part in key if not part.isdigit())  # without positions in a list of sections
    changed = document.overrides(key)  # of several keys that contradict each other, the one that was changed
    place = ", ".join(changed) or document.place(key)
    at = f" ({place})" if place else ""
    if fault["type"] == "extra_forbidden":
        return f"Unknown key {name!r}{at}; {_advice(own, list(fields))}"
    if fault["type"] == "missing":
        return f"The key {name!r} is missing{at}: {_describe(own, fields)}"
    value = shown(fault["input"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    message = f"{message[:1].lower()}{message[1:].rstrip('.')}"
    if fault["type"] in ("tuple_type", "list_type"):
        message = f"expected a list, such as [{value.strip(chr(39))}]"
    given = "" if isinstance(fault["input"], dict) else f" = {value}"
    return f"{name or 'The experiment'}{given}{at}: {message}. {_describe(own, fields)}".rstrip()


def _advice(key: Key, known: list[Key]) -> str:
    """The nearest valid key: a sibling of similar spelling, else the same word elsewhere, else the closest path."""
    siblings = [other for other in known if other[:-1] == key[:-1]]
    words = [other[-1] for other in siblings]
    near = [(*key[:-1], word) for word in difflib.get_close_matches(key[-1], words, n=1, cutoff=0.75)]
    near = near or [other for other in known if other[-1] == key[-1]]
    if near:
        best = " or ".join(repr(".".join(other)) for other in near)
    else:
        pool = [".".join(other) for other in (siblings or known)]
        best = repr(difflib.get_close_matches(".".join(key), pool, n=1, cutoff=0.0)[0])
    section = f" of {'.'.join(key[:-1])}" if key[:-1] else ""
    listed = f" Keys{section}: {', '.join(words)}." if words else ""
    return f"the nearest valid key is {best}.{listed}"


def _describe(key: Key, fields: dict[Key, FieldInfo]) -> str:
    while key and key not in fields:
        key = key[:-1]
    return f"Meaning of {'.'.join(key)}: {fields[key].description}{_limits(fields[key])}" if key else ""


def _limits(field: FieldInfo) -> str:
    """Bounds and default of a plain value, in parentheses."""
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bounds = [
        f"{text} {getattr(rule, name)}"
        for rule in field.metadata
        for name, text in words.items()
        if hasattr(rule, name)
    ]
    default = field.default
    if isinstance(default, bool | int | float | str):
        bounds.append(f"default {default}")
    return f" ({', '.join(bounds)})" if bounds else ""


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The config class of a field that is a section, optional or not."""
    for option in (field.annotation, *get_args(field.annotation)):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None
