"""Documents rot unless something reads them: settings, anomalies, commands, links and targets are checked here."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
from pydantic import BaseModel

import mailflow
from mailflow.cli.main import cli
from mailflow.core.anomalies import catalogue
from mailflow.settings import Settings
from mailflow.wire.catalogue import published
from tests.support.documents import ROOT, WRITTEN
from tests.support.handbook import typed_lines

DOCUMENTS = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_is_written_from_the_code_is_up_to_date(path: Path) -> None:
    assert path.read_bytes() == WRITTEN[path](), f"{path.name} differs from the code: run `make fix`"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_resolve(path: Path) -> None:
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), f"{path.name}: {link} leads nowhere"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{path.name}: no heading for {link}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_targets_that_a_document_names_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)`", path.read_text(encoding="utf-8")))
    named |= set(re.findall(r"^(?:\$ )?make ([a-z]+)$", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets


def test_every_setting_is_used() -> None:
    """A setting that nothing reads would be a promise without a deed."""
    readers = [path for name in ("app", "cli", "selftest") for path in (ROOT / "mailflow" / name).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in readers)
    unused = [name for name in setting_names(Settings) if not re.search(rf"\.{name}\b", text)]
    assert not unused


def setting_names(model: type[BaseModel]) -> Iterator[str]:
    """The attribute of every setting, to any depth."""
    for name, field in model.model_fields.items():
        yield name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from setting_names(kind)


@pytest.mark.parametrize("name", ["OPERATING.md", "README.md", "mailflow/ops/alarms.toml"])
def test_commands_exist_with_the_options_that_a_document_gives_them(name: str) -> None:
    text = read(name)
    typed = [arguments for line in typed_lines(text) for arguments in commands_in(line)]
    named = [arguments for span in SPAN.findall(text) for arguments in commands_in(span)]
    assert typed or named
    for arguments in typed:
        assert faults_of(arguments, whole=True) == "", (name, arguments)
    for arguments in named:
        assert faults_of(arguments, whole=False) == "", (name, arguments)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("mailflow find --desk 59123 --limit 3", ""),
        ("mailflow fnd", "no command fnd"),
        ("mailflow find --dsk 59123", "No such option"),
        ("mailflow alarms acknowledge", "number is missing"),
        ("mailflow sender add ville --name X", "is missing"),
        ("mailflow run twice", "unexpected extra argument"),
    ],
)
def test_a_command_that_does_not_exist_so_is_found(line: str, fault: str) -> None:
    (arguments,) = commands_in(line)
    assert fault in faults_of(arguments, whole=True)
    assert bool(fault) == bool(faults_of(arguments, whole=True))


SPAN = re.compile(r"""(?:`|\(|command = ")(mailflow [a-z][^`)"]*)""")
ROOT_OPTIONS = ("--config", "-c")


def commands_in(line: str) -> Iterator[list[str]]:
    """The arguments of each `mailflow` in a line of the shell."""
    for part in re.split(r"&&|\||;", line.replace("...", "X")):
        words = shlex.split(part.partition(" > ")[0], comments=True)
        if words and words[0] in ("sudo", "runuser"):
            words = words[words.index("mailflow", 3) :]
        if words and words[0].rpartition("/")[2] == "mailflow":
            yield words[1:]


def faults_of(arguments: list[str], *, whole: bool) -> str:
    """What the command line's own parser says against it; only a `whole` one has to have all that is required."""
    while arguments and arguments[0] in ROOT_OPTIONS:
        arguments = arguments[2:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, *arguments = arguments or [""]
        if name not in command.commands:
            return f"no command {name}" if whole or name else ""
        command = command.commands[name]
    try:
        context = click.Context(command)
        values, extra, _ = command.make_parser(context).parse_args(list(arguments))
    except click.UsageError as error:
        return error.format_message() if whole or "equires" not in error.format_message() else ""
    if extra:
        return f"unexpected extra argument {extra}"
    given = {name for name, value in values.items() if isinstance(value, str | list | tuple) and value}
    missing = [one.name for one in command.params if one.required and one.name not in given]
    return f"{', '.join(map(str, missing))} is missing" if whole and missing else ""


def test_the_readme_names_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(re.findall(r"^make [a-z]+$", read("README.md"), re.MULTILINE))


def test_the_published_catalogue_has_every_anomaly() -> None:
    assert sorted(re.findall(r'"(CTRL_[A-Z]{3}_\d{4})"', read("schemas/anomalies.json"))) == sorted(catalogue())
    assert json.loads(read("schemas/anomalies.json"))


def test_nothing_is_published_that_is_not_written_from_the_code() -> None:
    """But the keys of the samples."""
    written = {f"schemas/{name}" for name in published()} | {path.relative_to(ROOT).as_posix() for path in WRITTEN}
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "schemas").rglob("*") if path.is_file()}
    assert {name for name in there - written if not name.startswith("schemas/exemples/cles/")} == set()


def test_the_changelog_speaks_of_this_version() -> None:
    assert f"## [{mailflow.__version__}]" in read("CHANGELOG.md")
