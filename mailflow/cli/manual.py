"""Manual pages and shell completion, written from the commands and the settings themselves.

    python -m mailflow.cli.manual FOLDER

makes `mailflow.1`, one page for each command, `mailflow.toml.5`, and the completion for bash, zsh and fish.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from mailflow import __version__
from mailflow.cli.invocation import Exit
from mailflow.cli.main import cli
from mailflow.settings import sample

PROGRAM = "mailflow"
COMPLETION_VARIABLE = "_MAILFLOW_COMPLETE"
SHELLS = {"bash": "mailflow", "zsh": "_mailflow", "fish": "mailflow.fish"}
"""Each shell, with the name under which it looks for the completion of `mailflow`."""
EXITS = {
    Exit.DONE: "Done.",
    Exit.SET_ASIDE: "Something was set aside, refused, or is not known: a person should look.",
    Exit.TEMPORARY: "A server or the database is down, or something is not finished: call again.",
    Exit.CONFIGURATION: "A setting, or a file that it names, is wrong; the message says which.",
}


def pages() -> Iterator[tuple[str, str]]:
    """Each page by its file name."""
    commands = list(_walk(cli))
    yield f"{PROGRAM}.1", _program_page(commands)
    for name, command in commands:
        yield f"{_page_name(name)}.1", _command_page(name, command)
    yield f"{PROGRAM}.toml.5", _settings_page()


def completions() -> Iterator[tuple[str, str]]:
    """What each shell has to read, by the name that it looks for."""
    for shell, name in SHELLS.items():
        completion = get_completion_class(shell)
        assert completion is not None
        yield name, completion(cli, {}, PROGRAM, COMPLETION_VARIABLE).source()


def write(folder: Path) -> None:
    """Write all of it into `man` and `completion` in `folder`."""
    for inner, files in (("man", pages()), ("completion", completions())):
        (folder / inner).mkdir(parents=True, exist_ok=True)
        for name, text in files:
            (folder / inner / name).write_text(text, encoding="utf-8")


def _walk(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _walk(command, f"{prefix}{name} ")
        elif not command.hidden:
            yield f"{prefix}{name}", command


def _program_page(commands: list[tuple[str, click.Command]]) -> str:
    context = click.Context(cli, info_name=PROGRAM)
    lines = [*_head(PROGRAM, 1, cli.get_short_help_str(limit=200)), *_synopsis(PROGRAM, cli, context)]
    lines += [*_description(cli), ".SH OPTIONS", *_options(cli, context), ".SH COMMANDS"]
    for name, command in commands:
        lines += [".TP", f".BR {_word(_page_name(name))} (1)", _text(command.get_short_help_str(limit=200))]
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXITS.items():
        lines += [".TP", f".B {code.value}", meaning]
    lines += [".SH FILES", ".TP", ".I /etc/mailflow/mailflow.toml"]
    lines += ["The settings, where the package installs mailflow.", *_see_also("mailflow.toml (5)")]
    return _page(lines)


def _command_page(name: str, command: click.Command) -> str:
    full = f"{PROGRAM} {name}"
    context = click.Context(command, info_name=full)
    lines = [*_head(_page_name(name), 1, command.get_short_help_str(limit=200)), *_synopsis(full, command, context)]
    lines += [*_description(command), ".SH OPTIONS", *_options(command, context)]
    return _page([*lines, *_see_also("mailflow (1)", "mailflow.toml (5)")])


def _settings_page() -> str:
    lines = [*_head("mailflow.toml", 5, "settings of mailflow"), ".SH DESCRIPTION"]
    lines.append(
        "One TOML file. Unknown settings are refused, and every wrong one is named with its right form. Relative paths"
        " begin at the folder of the file. Secrets are only ever named as files."
    )
    table = None
    for name, default, meaning in sample.settings():
        before, _, last = name.rpartition(".")
        if before != table:
            table = before
            lines.append(f".SH [{_word(table.removesuffix('[]'))}]" if table else ".SH AT THE TOP")
        lines += [".TP", f"\\fB{_word(last)}\\fR ({_text(default)})", _text(meaning)]
    return _page([*lines, *_see_also("mailflow (1)")])


def _page_name(command: str) -> str:
    return f"{PROGRAM}-{command.replace(' ', '-')}"


def _head(name: str, section: int, brief: str) -> list[str]:
    return [
        f'.TH {_word(name.upper())} {section} "" "mailflow {__version__}" "mailflow"',
        ".SH NAME",
        f"{_word(name)} \\- {_text(brief).rstrip('.')}",
    ]


def _synopsis(full: str, command: click.Command, context: click.Context) -> list[str]:
    return [".SH SYNOPSIS", f".B {_word(full)}", _word(" ".join(command.collect_usage_pieces(context)))]


def _description(command: click.Command) -> list[str]:
    """The help of the command; its last paragraph is an example."""
    lines = [".SH DESCRIPTION"]
    for paragraph in (command.help or "").split("\n\n"):
        text = " ".join(paragraph.split())
        if text.startswith("Example: "):
            lines += [".SH EXAMPLE", ".EX", _word(text.removeprefix("Example: ")), ".EE"]
        else:
            lines += [".PP", _text(text)]
    return lines


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record:
            yield from (".TP", f".B {_word(record[0])}", _text(record[1]))


def _see_also(*names: str) -> list[str]:
    return [".SH SEE ALSO", *(f".BR {_word(name)}" for name in names)]


def _word(text: str) -> str:
    """What is to be typed: a hyphen stays one."""
    return _text(text).replace("-", "\\-")


def _text(text: str) -> str:
    """Prose: what is between backticks is bold, nothing is taken for a request."""
    parts = text.replace("\\", "\\e").split("`")
    marked = "".join(f"\\fB{part}\\fR" if index % 2 else part for index, part in enumerate(parts))
    return f"\\&{marked}" if marked.startswith((".", "'")) else marked


def _page(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
