"""Configuration files: one YAML per service, read into a pydantic model that refuses unknown keys.

An error names the file, the key, the value and what would be right, one line for each wrong key.
"""

import difflib
import re
import stat
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

if TYPE_CHECKING:
    from collections.abc import Iterator

    import yaml

_SECRET_KEY = re.compile(r"(password|passphrase|secret|token)(?!_file)", re.IGNORECASE)
_MAY_HOLD_SECRET = re.compile(r"@|(pass|psw|pwd|secret|token)\w*=", re.IGNORECASE)  # user:password@host, ?pwd=
_MAX_SHOWN_CHARS = 80


class ConfigError(Exception):
    """A configuration file cannot be used; the text is for the person who wrote it."""


class StrictModel(BaseModel):
    """Base of every part of a configuration file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_no_answers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse yes and no for a number: pydantic takes them for 1 and 0, and a quota of 1 byte deletes everything."""
        if isinstance(value, bool) and _is_number(cls.model_fields[info.field_name or ""].annotation):
            raise ValueError("yes and no are no numbers, a number is wanted")
        return value


class ServiceConfig(StrictModel):
    """What every service's configuration file has."""

    language: Literal["en", "id"] = "en"
    """Language of the log texts: English or Indonesian."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe level that is logged."""


Model = TypeVar("Model", bound=BaseModel)


def load_config(path: Path, model: type[Model]) -> Model:
    """Read the YAML file `path` into `model`.

    Raises ConfigError when the file cannot be read, is not YAML, has a key twice or does not fit the model.
    """
    import yaml  # a tenth of a second on a small node, and some read no file

    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        twice = [] if root is None else [f"{path}: {text}" for text in _doubled_keys(root)]
        if twice:
            raise ConfigError("\n".join(twice))
        data = None if root is None else loader.construct_document(root)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {_yaml_problem(error)}") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, found a {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [f"{path}: {_explain(detail, model)}" for detail in _own_errors(error.errors())]
        # Without the cause: pydantic's own text repeats the values, secrets too.
        raise ConfigError("\n".join(lines)) from None


def read_secret(path: Path) -> str:
    """Return the first line of a secrets file.

    Raises ConfigError when it is missing, empty, not UTF-8, or readable by everybody.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: the secret cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:  # holds the file's bytes, so it is not chained
        raise ConfigError(f"{path}: is not UTF-8, its first line must be the secret") from None
    if mode & 0o007:
        raise ConfigError(f"{path}: mode {mode:04o} lets everybody at the secret, it must be 0600 or 0640")
    secret = text.split("\n", 1)[0].rstrip("\r")
    if not secret:
        raise ConfigError(f"{path}: is empty, its first line must be the secret")
    return secret


def _is_number(annotation: Any) -> bool:
    """Whether an annotation such as `int | None` takes a number, and neither yes nor no."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        kinds = get_args(annotation)
        return bool not in kinds and any(_is_number(kind) for kind in kinds)
    return annotation in (int, float)


def _yaml_problem(error: "yaml.YAMLError") -> str:
    """Return what is wrong and where, without the line's text (it may hold a secret)."""
    from yaml import MarkedYAMLError

    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return "it could not be parsed"


def _doubled_keys(root: "yaml.Node") -> "Iterator[str]":
    """Yield a line for each key that is given again in its mapping: YAML itself takes the last one without a word."""
    from yaml import MappingNode, ScalarNode, SequenceNode

    waiting, known = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in known:  # an alias; it may be inside of itself
            continue
        known.add(id(node))
        if isinstance(node, SequenceNode):
            waiting += reversed(node.value)
        elif isinstance(node, MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                if not isinstance(key, ScalarNode):
                    continue
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    yield f"line {line}: key {key.value} is in line {lines[name]} already, it can be given once only"
                lines.setdefault(name, line)
            waiting += reversed([value for _, value in node.value])


def _own_errors(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out that a list is too short where an item of it is wrong: pydantic does not count that one."""
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(
            len(other["loc"]) > len(detail["loc"]) and other["loc"][: len(detail["loc"])] == detail["loc"]
            for other in details
        )
    ]


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Return one pydantic error as `key: value: what is allowed`."""
    location = detail["loc"]
    key = _key_text(location)
    if detail["type"] == "extra_forbidden":
        allowed = _allowed_keys(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), allowed, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{key}: unknown key; {hint}allowed here: {', '.join(allowed)}"
    if detail["type"] == "missing":
        return f"{key}: is missing"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if isinstance(detail["input"], dict | list):
        return f"{key}: {message}" if key else message
    return f"{key}: {_shown(key, detail['input'])}: {message}"


def _key_text(location: tuple[int | str, ...]) -> str:
    """Return ('cameras', 0, 'port') as `cameras[0].port`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _shown(key: str, value: Any) -> str:
    """Return the value as it may be shown: not a secret's, and not a whole page."""
    text = repr(value)
    if _SECRET_KEY.search(key) or _MAY_HOLD_SECRET.search(text):
        return "(hidden)"
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}..."


def _allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the (nested) model at `location` knows."""
    current: Any = model
    is_name = False  # of one of many, such as a camera in `cameras: {gate: {...}}`
    for part in location:
        if isinstance(part, int) or is_name:
            is_name = False
            continue
        field = current.model_fields.get(part)
        nested = _nested_model(field.annotation) if field else None
        if field is None or nested is None:
            return []
        current = nested
        is_name = get_origin(field.annotation) is dict
    return sorted(field.alias or name for name, field in current.model_fields.items())


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    """Return the model inside an annotation such as `tuple[Camera, ...]` or `Spool | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _nested_model(argument)
        if found is not None:
            return found
    return None


__all__ = ["ConfigError", "Field", "ServiceConfig", "StrictModel", "load_config", "read_secret"]
