"""Read the settings file; say everything that is wrong with it at once, each with the right form."""

import os
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mailflow.errors import Misconfigured
from mailflow.settings.mailboxes import INHERITED_BY_AUDIT
from mailflow.settings.model import Settings
from mailflow.settings.section import Section

OTHERS_MAY_TOUCH = 0o027
"""Permission bits that a secret file must not have: any for others, writing for the group."""


def load(path: Path) -> Settings:
    """The settings in `path`. Only the file itself is looked at, not the files that it names.

    Raises `Misconfigured`, whose text has one line for each wrong setting.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: is not a TOML file: {error}") from error
    return _validated(document, path)


def parse(text: str, path: Path) -> Settings:
    """The settings that `path` would hold with this text, which is TOML. Raises `Misconfigured`, as `load` does."""
    return _validated(tomllib.loads(text), path)


def value_of(name: str, text: str) -> object:
    """What somebody means who answers `text` when asked for the setting `name`. Raises `Misconfigured`."""
    location = tuple(name.split("."))
    field = _field(location)
    if field is None or field.annotation is None or name in dict(tables(Settings)):
        raise Misconfigured(f"{name}: there is no such setting{_nearest(location)}")
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    given: object = int(text) if text.isdecimal() and field.annotation is int else text
    try:
        TypeAdapter(kind).validate_python(given)
    except ValidationError as error:
        raise Misconfigured(_sentence(error.errors(include_input=False)[0] | {"loc": location})) from error
    return given


def meaning_of(name: str) -> str:
    """The sentence that says what a setting is for."""
    field = _field(tuple(name.split(".")))
    return _one_line(field.description or "") if field else ""


def _validated(document: dict[str, Any], path: Path) -> Settings:
    # A missing table is read as an empty one, so that each setting missing in it is named.
    document = {name: {} for name, _ in tables(Settings)} | document
    context = {"folder": path.absolute().parent, "credentials": os.environ.get("CREDENTIALS_DIRECTORY")}
    try:
        return Settings.model_validate(document, context=context)
    except ValidationError as error:
        lines = [_sentence(wrong) for wrong in error.errors(include_input=False) if not _inherited(wrong)]
        raise Misconfigured("\n  ".join([f"{path}:", *lines])) from error


def read_secret(path: Path) -> str:
    """The first line of a secret file. Raises `Misconfigured`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: the secret cannot be read: {type(error).__name__}") from error
    if not lines or not lines[0]:
        raise Misconfigured(f"{path}: should hold the secret in its first line")
    return lines[0]


def file_faults(settings: Settings) -> tuple[str, ...]:
    """What is wrong with the files and folders that the settings name: missing, or secrets open to others."""
    return tuple(_file_faults(settings, ""))


def tables(model: type[BaseModel]) -> Iterator[tuple[str, type[Section]]]:
    """The tables inside `model`, by the name that they have in the file; lists of tables are left out."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield field.alias or name, field.annotation


def is_optional(field: FieldInfo) -> bool:
    """Whether a setting may be absent without having a default."""
    return get_origin(field.annotation) in (Union, UnionType) and type(None) in get_args(field.annotation)


def _file_faults(section: Section, prefix: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        where = f"{prefix}{field.alias or name}"
        for index, inner in enumerate(value if isinstance(value, tuple) else (value,)):
            if isinstance(inner, Section):
                yield from _file_faults(inner, f"{where}[{index}]." if isinstance(value, tuple) else f"{where}.")
            elif isinstance(inner, Path):
                yield from _path_faults(where, inner)


def _path_faults(where: str, path: Path) -> Iterator[str]:
    folder = where.endswith("_dir")
    if not (path.is_dir() if folder else path.is_file()):
        yield f"{where}: there is no {'folder' if folder else 'file'} {path}"
    elif not os.access(path, os.R_OK):
        yield f"{where}: {path} cannot be read by this user"
    elif where.endswith(("secret_file", "key_file", "url_file")) and path.stat().st_mode & OTHERS_MAY_TOUCH:
        yield f"{where}: others may read {path}; chmod 600 it"


def _sentence(wrong: ErrorDetails) -> str:
    location = wrong["loc"]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    if wrong["type"] == "extra_forbidden":
        return f"{name}: there is no such setting{_nearest(location)}"
    field = _field(location)
    meaning = f" -- {_one_line(field.description)}" if field is not None and field.description else ""
    example = f" Example: {_form(location[-1], field.examples[0])}" if field is not None and field.examples else ""
    known = {"missing": "is missing", "too_short": "should have at least one entry"}
    problem = known.get(wrong["type"], wrong["msg"].replace("Input should", "should", 1))
    return f"{name or 'the file'}: {problem}{meaning}{example}"


def _form(name: str | int, example: Any) -> str:
    return f'{name} = "{example}"' if isinstance(example, str) else f"{name} = {example}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _inherited(wrong: ErrorDetails) -> bool:
    """A setting missing in [audit] that [mailbox] lacks too is reported once, there."""
    return wrong["type"] == "missing" and wrong["loc"] in {("audit", name) for name in INHERITED_BY_AUDIT}


def _walk(location: tuple[int | str, ...]) -> Iterator[tuple[type[BaseModel], FieldInfo | None]]:
    model: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, int):
            continue
        by_name = {field.alias or name: field for name, field in model.model_fields.items()}
        field = by_name.get(part)
        yield model, field
        inner = [field.annotation, *get_args(field.annotation)] if field else []
        for kind in inner:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind


def _field(location: tuple[int | str, ...]) -> FieldInfo | None:
    steps = list(_walk(location))
    return steps[-1][1] if steps else None


def _nearest(location: tuple[int | str, ...]) -> str:
    model, _ = list(_walk(location))[-1]
    known = [field.alias or name for name, field in model.model_fields.items()]
    near = get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(known)}"
