"""Manual pages and completion: complete, clean, and understood by what reads them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailflow.cli.main import cli
from mailflow.cli.manual import completions, pages, write
from mailflow.settings import sample
from tests.support.available import require
from tests.support.documents import ROOT, walk

PAGES = dict(pages())


def shown(folder: Path, *names: str) -> str:
    """The pages as `man` shows them. AssertionError when the formatter warns."""
    require("man")
    for name in names:
        (folder / name).write_text(PAGES[name], encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MANROFFOPT": "-rHY=0"}
    command = ["man", "--warnings", "--encoding=UTF-8", "--no-justification", "--local-file", *names]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout


def test_every_command_has_a_page_and_the_main_page_names_it() -> None:
    names = {f"mailflow-{name.replace(' ', '-')}.1" for name, _ in walk(cli)}
    assert PAGES.keys() == names | {"mailflow.1", "mailflow.toml.5"}
    main = PAGES["mailflow.1"].replace("\\-", "-")
    assert [name for name in names if f".BR {name.removesuffix('.1')} (1)" not in main] == []


@pytest.mark.parametrize("name", ["mailflow.1", "mailflow-sender-add.1", "mailflow.toml.5"])
def test_a_page_is_shown_as_it_is_meant(name: str, tmp_path: Path) -> None:
    said = {
        "mailflow.1": "mailflow --config /etc/mailflow/mailflow.toml run --once",
        "mailflow-sender-add.1": "--address TEXT",
        "mailflow.toml.5": 'url ("sqlite:///mailflow.db")',
    }
    text = shown(tmp_path, name)
    assert said[name] in text
    assert "SEE ALSO" in text


@pytest.mark.long
def test_no_page_makes_the_formatter_warn(tmp_path: Path) -> None:
    shown(tmp_path, *PAGES)


def test_every_setting_is_on_its_page() -> None:
    page = PAGES["mailflow.toml.5"].replace("\\-", "-")
    assert [name for name, _, _ in sample.settings() if f"\\fB{name.rpartition('.')[2]}\\fR (" not in page] == []


@pytest.mark.long
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    write(tmp_path)
    script = f"""
        . {tmp_path}/completion/mailflow
        complete_line() {{
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            _mailflow_completion mailflow
            echo "${{COMPREPLY[@]}}"
        }}
        complete_line mailflow che
        complete_line mailflow sender ""
        complete_line mailflow queue --set
    """
    program = tmp_path / "bin" / "mailflow"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mailflow "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    command = ["bash", "-ec", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "check-config",
        "accept add amend decline expiring list release successors suspend",
        "--set-aside",
    ], done.stderr


def test_every_shell_has_its_completion() -> None:
    assert dict(completions()).keys() == {"mailflow", "_mailflow", "mailflow.fish"}
    assert all("_MAILFLOW_COMPLETE=" in text for _, text in completions())
