"""What the documents say of settings and anomalies is written from the code. `make fix` writes it anew."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from mailflow.cli.main import cli
from mailflow.core.anomalies import Entry, Level, Severity, catalogue
from mailflow.mail.cms.algorithms import TABLE
from mailflow.settings import sample
from mailflow.settings.model import Limits

ROOT = Path(__file__).parents[2]

FAMILIES = {
    "MEL": "form of the mail",
    "SIG": "signature, certificate, encryption, algorithms",
    "HAB": "rights",
    "ENV": "the file: name, header, version, type, size",
    "XML": "syntax and structure",
    "DEM": "content of a request",
    "UNI": "uniqueness",
    "CYC": "life cycle",
    "GES": "questions",
    "SYS": "ours: try again",
}
RETRY = {"plus_tard": "later", "corriger": "correct first"}


def family(entry: Entry) -> str:
    """`SIG` of `CTRL_SIG_0001`."""
    return entry.code.split("_")[1]


def anomalies() -> str:
    """The catalogue for vendors: one table for each family."""
    lines: list[str] = []
    for name, meaning in FAMILIES.items():
        entries = [entry for entry in catalogue().values() if family(entry) == name]
        if not entries:
            continue
        lines += [f"#### {name}: {meaning}", "", "| code | of the | severity | again | meaning | remedy |"]
        lines += ["|---|---|---|---|---|---|"]
        for entry in entries:
            start = f"| `{entry.code}` | {entry.level} | {entry.severity} | {RETRY[entry.retry]} |"
            lines.append(f"{start} {entry.french}<br>*{entry.english}* | {entry.remedy_english} |")
        lines.append("")
    return "\n".join(lines)


def entries_for_operators() -> str:
    """The reasons for which a whole mail is set aside or refused."""
    rows = [
        f"| `{entry.code}` | {entry.english} | {entry.remedy_english} |"
        for entry in catalogue().values()
        if entry.level is Level.MAIL and entry.severity is not Severity.WARNING
    ]
    return "\n".join(["| code | what it means | what helps |", "|---|---|---|", *rows]) + "\n"


def algorithms() -> str:
    """The dated table of algorithms."""
    rows = [f"| {row.use} | {row.name} | {row.oid} | {row.until or ''} |" for row in TABLE]
    return "\n".join(["| use | name | OID | last day (UTC) |", "|---|---|---|---|", *rows]) + "\n"


def commands() -> str:
    """Every command with the sentence that its help begins with."""
    rows = [f"| `mailflow {name}` | {command.get_short_help_str(limit=200)} |" for name, command in walk(cli)]
    return "\n".join(["| command | what it does |", "|---|---|", *rows]) + "\n"


def walk(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """The commands inside a group, to any depth, with their full names."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from walk(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def limits() -> str:
    """The published limits, from the defaults of the settings."""
    rows = [
        f"| `{name}` | {field.default:,} | {' '.join((field.description or '').split())} |"
        for name, field in Limits.model_fields.items()
    ]
    return "\n".join(["| limit | value | meaning |", "|---|---|---|", *rows]) + "\n"


BLOCKS: dict[str, dict[str, Callable[[], str]]] = {
    "OPERATING.md": {"commands": commands, "settings": sample.reference, "reasons": entries_for_operators},
    "docs/interface.md": {"algorithms": algorithms, "anomalies": anomalies, "limits": limits},
}


def expected() -> Iterator[tuple[Path, str]]:
    """Each file that is written from the code, wholly or in part, with what it should hold."""
    yield ROOT / "config/mailflow.toml", sample.sample()
    for name, blocks in BLOCKS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        for block, make in blocks.items():
            start, end = f"<!-- from the code: {block} -->\n", f"<!-- end: {block} -->"
            before, _, rest = text.partition(start)
            _, closing, after = rest.partition(end)
            assert closing, f"{name} should have a block {block}"
            text = before + start + make() + end + after
        yield ROOT / name, text


if __name__ == "__main__":
    for path, content in expected():
        path.write_text(content, encoding="utf-8")
