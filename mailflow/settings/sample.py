"""The sample settings file and the operator's table, both written from the models."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any, get_args

from pydantic.fields import FieldInfo

from mailflow.settings.load import is_optional, tables
from mailflow.settings.mailboxes import INHERITED_BY_AUDIT, Audit
from mailflow.settings.model import Settings
from mailflow.settings.section import Section

HEAD = """\
# Settings of mailflow: every setting, its meaning, and its default where it has one.
# A line without a comment sign must be given, or shows the default; a line with one is not set.
# Secrets are never written here, only the files that hold them.
"""
WIDTH = 110


def sample(values: Mapping[str, object] | None = None) -> str:
    """A complete settings file: `values` by full name, defaults where there are any, examples elsewhere."""
    values = values or {}
    lines = [HEAD, *_settings(Settings, values)]
    for name, table in tables(Settings):
        given = {key.removeprefix(f"{name}."): value for key, value in values.items() if key.startswith(f"{name}.")}
        lines += ["", *_comment(table.__doc__ or ""), f"[{name}]", *_settings(table, given)]
        for list_name, entry in _lists(table):
            field = table.model_fields[list_name]
            entries = [f"[[{name}.{list_name}]]", *_settings(entry, {})]
            lines += ["", *_comment(field.description or "")]
            lines += entries if field.is_required() else [f"# {line}".replace("# # ", "# ") for line in entries]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """A Markdown table of every setting: name, default, meaning."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, default, meaning in settings():
        cell = meaning.replace("|", r"\|")
        rows.append(f"| `{name}` | {default} | {cell} |")
    return "\n".join(rows) + "\n"


def settings() -> Iterator[tuple[str, str, str]]:
    """Every setting: its full name, its default, its meaning."""
    return _rows(Settings, "")


def _rows(model: type[Section], prefix: str) -> Iterator[tuple[str, str, str]]:
    nested = dict(tables(model))
    lists = dict(_lists(model))
    for name, field in model.model_fields.items():
        shown = field.alias or name
        if shown in nested:
            yield from _rows(nested[shown], f"{prefix}{shown}.")
        elif name in lists:
            yield f"{prefix}{name}", _default(model, name, field), _one_line(field)
            yield from _rows(lists[name], f"{prefix}{name}[].")
        else:
            yield f"{prefix}{shown}", _default(model, name, field), _one_line(field)


def _default(model: type[Section], name: str, field: FieldInfo) -> str:
    if model is Audit and name in INHERITED_BY_AUDIT:
        return "that of `mailbox`"
    if field.is_required():
        return "must be given"
    return "not set" if field.default is None else f"`{_toml(field.default)}`"


def _settings(model: type[Section], values: Mapping[str, object]) -> Iterator[str]:
    skipped = {name for name, _ in _lists(model)} | {name for name, _ in tables(model)}
    for name, field in model.model_fields.items():
        if (field.alias or name) in skipped:
            continue
        inherited = model is Audit and name in INHERITED_BY_AUDIT
        absent = (inherited or (is_optional(field) and field.default is None)) and name not in values
        value = values.get(name, field.examples[0] if field.examples else field.default)
        yield from _comment(_one_line(field) + (" Default: that of [mailbox]." if inherited else ""))
        yield f"{'# ' if absent else ''}{name} = {_toml(value)}"


def _lists(model: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    for name, field in model.model_fields.items():
        for kind in get_args(field.annotation):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield name, kind


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(" ".join(text.split()), WIDTH - 2)]


def _one_line(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # The escapes of JSON are among those of TOML, and so are its truth values.
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
