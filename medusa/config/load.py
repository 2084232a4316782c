"""YAML files and `key=value` words → one validated config.

Order of merging: `base` (recursively), the file, overlays left to right, `key=value`. Every value
remembers which file set it, so an error names the file to open.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from medusa.config.schema import DeepSERConfig, ExtractConfig, MetaConfig, PipelineConfig, Section, TranscribeConfig
from medusa.errors import UserError, os_reason
from medusa.files import resolved

Config = TypeVar("Config", bound=Section)
Tree = dict[str, Any]
Origins = dict[tuple[str, ...], str]

KINDS: dict[str, type[Section]] = {
    "extract": ExtractConfig,
    "transcribe": TranscribeConfig,
    "deepser": DeepSERConfig,
    "metacls": MetaConfig,
    "pipeline": PipelineConfig,
}
"""An overlay may serve several kinds of config, each below its kind's name (`configs/as_released.yaml`)."""

TAKEN_BY = {
    "extract": "extract_features.py",
    "transcribe": "extract_features.py",
    "deepser": "train_deepser.py and eval_deepser.py",
    "metacls": "train_metacls.py and eval_metacls.py",
    "pipeline": "python -m medusa run",
}
"""The commands that each kind of config is for."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 scalars (1e-5 is a number, 12:30 and yes are text) and no repeated keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute, filled below

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        text = str(super().construct_scalar(node))
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise yaml.constructor.ConstructorError(
                None, None, f"{text!r} holds a character not allowed in text", node.start_mark
            )
        return text

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not text", key_node.start_mark)
            if key in mapping:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            mapping[key] = self.construct_object(value_node, deep=True)
        return mapping


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back: quotes text that would otherwise resolve to a number ("08")."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as above


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+.0123456789"),
):
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))  # base 10 even with a leading zero, as YAML 1.2 says


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def load_config(kind: type[Config], files: Sequence[Path], overrides: Sequence[str] = ()) -> Config:
    """Read, merge and validate.

    Args:
        kind: One of `KINDS`.
        files: The config, then its overlays.
        overrides: `dotted.key=value` words; the value is read as YAML.

    Raises:
        UserError: naming the file (or word), the key, the value and what is allowed.
    """
    layers = [layer for file in files for layer in _file_layers(kind, file, ())]
    layers += [_parse_override(word) for word in overrides]
    tree: Tree = {}
    origins: Origins = {}
    for source, values in layers:
        _merge(tree, origins, values, source, ())
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        hint = _hint_of_another_kind(kind, tree)
        raise UserError(_explain(kind, error.errors()[0], origins, str(files[0])) + hint) from None


def _hint_of_another_kind(kind: type[Section], tree: Tree) -> str:
    """Where the values have foreign keys for `kind` and are right for another: which command that is for; else ""."""
    if tree.keys() <= kind.model_fields.keys():
        return ""
    for name, other in KINDS.items():
        try:
            other.model_validate(tree)
        except ValidationError:
            continue
        return f"; all of it together is a config for {TAKEN_BY[name]}"
    return ""


def has_section(kind: type[Section], file: Path, name: str) -> bool:
    """Whether a config file, or its base, has the top-level key `name`."""
    return any(name in values for _, values in _file_layers(kind, file, ()))


def dump_config(config: Section) -> str:
    """The resolved config as YAML text that `load_config` reads back to an equal object."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _file_layers(kind: type[Section], file: Path, including: tuple[Path, ...]) -> list[tuple[str, Tree]]:
    """The file's own values, preceded by those of its `base`, its base's base, and so on."""
    place = resolved(file)
    if place in including:
        raise UserError(f"{file}: base: leads back to this file; a config cannot be its own base")
    values = dict(_read_yaml(file))
    base = values.pop("base", None)
    if base is not None and not isinstance(base, str):
        raise UserError(f"{file}: base: {base!r} is not a path to a YAML file")
    if values and values.keys() <= KINDS.keys():
        name = next(name for name, candidate in KINDS.items() if candidate is kind)
        part = values.get(name) or {}
        if not isinstance(part, dict):
            raise UserError(f"{file}: {name}: expected `key: value` lines below it")
        values = part
    below = [] if base is None else _file_layers(kind, file.parent / base, (*including, place))
    return [*below, (str(file), values)]


def _read_yaml(file: Path) -> Tree:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{file}: no such config file; check the path") from None
    except OSError as error:
        raise UserError(f"{file}: {os_reason(error, 'give a YAML file, such as those in configs/')}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    values = _parse_yaml(text, str(file))
    if not isinstance(values, dict | None):
        raise UserError(f"{file}: expected `key: value` lines, found {type(values).__name__}")
    return values or {}


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML raises the middle three for a value that does not fit its explicit tag, such as !!bool 3.
        mark = getattr(error, "problem_mark", None)
        where = f"{source}, line {mark.line + 1}" if mark else source
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{where}: not valid YAML: {problem}") from None


def _parse_override(word: str) -> tuple[str, Tree]:
    """`training.batch_size=8` → a tree with that one leaf."""
    key, equals, text = word.partition("=")
    if not equals or not all(key.split(".")):
        raise UserError(f"{word!r}: expected key=value, for example training.batch_size=8")
    value = _parse_yaml(text, word)
    for part in reversed(key.split(".")):
        value = {part: value}
    return word, value


def _merge(into: Tree, origins: Origins, values: Tree, source: str, path: tuple[str, ...]) -> None:
    """Mappings merge key by key; everything else (lists too) replaces what was there."""
    for key, value in values.items():
        here = (*path, key)
        origins[here] = source
        if isinstance(value, dict) and isinstance(into.get(key, {}), dict):
            _merge(into.setdefault(key, {}), origins, value, source, here)
        else:
            into[key] = value


_PLAINER = {
    "model_type": "expected `key: value` lines below it",
    "path_type": "expected the path of a file or folder",
}
"""Instead of pydantic's words that speak of Python."""


def _explain(kind: type[Section], error: ErrorDetails, origins: Origins, first_file: str) -> str:
    """One line: file, key, value, what is allowed."""
    path = tuple(str(part) for part in error["loc"])
    message, value = error["msg"].removeprefix("Value error, "), error["input"]
    message = _PLAINER.get(error["type"], message)
    if error["type"] == "value_error":  # raised by a section about one of its keys, as "key: what is allowed"
        key, message = message.split(": ", 1)
        path, value = (*path, key), value.get(key, "the default")
    source = next((origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins), first_file)
    key = ".".join(path)
    if error["type"] == "missing":
        return f"{source}: {key}: missing; add this key"
    if error["type"] == "extra_forbidden":
        return f"{source}: {key}: unknown key; {_nearest(kind, path)}"
    hint = "; quote it" if error["type"] == "string_type" and isinstance(value, int | float) else ""
    return f"{source}: {key}: {value!r} is not allowed here: {message[0].lower()}{message[1:]}{hint}"


def _nearest(kind: type[Section], path: tuple[str, ...]) -> str:
    """Did-you-mean for the last part of `path`, else the list of allowed keys."""
    section: Any = kind
    for part in path[:-1]:
        annotation = section.model_fields[part].annotation
        section = next((one for one in get_args(annotation) if one is not type(None)), annotation)  # of `X | None`: X
    close = difflib.get_close_matches(path[-1], section.model_fields, n=1)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(section.model_fields)}"
