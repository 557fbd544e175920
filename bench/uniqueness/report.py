"""The figures for people: a table for each database, a column for each size of its register."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

GIB = 1 << 30
WIDTH = 120
LARGEST = 10
"""How many tables and indexes are listed."""
CREATIONS = {
    "new": "somebody new",
    "frequent names": "of the most frequent names",
    "crowded tokens": "who shares with more than 256",
}

Sizes = Sequence[Mapping[str, Any]]


def show(facts: Mapping[str, Any]) -> None:
    """Print the tables."""
    console = Console(width=WIDTH)
    machine = ", ".join(f"{name} {value}" for name, value in facts["machine"].items())
    console.print(f"{facts['command']}   ({machine})", highlight=False)
    for name, sizes in facts["databases"].items():
        table = Table(box=box.SIMPLE_HEAD, title=f"{name}; times in ms: median, p99, worst", title_justify="left")
        table.add_column("requests")
        for one in sizes:
            table.add_column(f"{one['requests']:,}", justify="right")
        table.add_column("growth", justify="right")
        for row in (*_filling(sizes), *_times(sizes), *_found(sizes)):
            table.add_row(*row)
        console.print(table)
        octets = sorted(sizes[-1]["octets"].items(), key=lambda item: -item[1])[:LARGEST]
        console.print(", ".join(f"{what} {size / GIB:.2f} GiB" for what, size in octets), highlight=False)


def _filling(sizes: Sizes) -> list[list[str]]:
    return [
        ["filled, requests a second", *(f"{one['filled'] / one['fill_seconds']:,.0f}" for one in sizes)],
        ["on disk, GiB", *(f"{sum(one['octets'].values()) / GIB:.2f}" for one in sizes)],
        ["load of the machine meanwhile", *(str(one["load"]) for one in sizes)],
    ]


def _times(sizes: Sizes) -> list[list[str]]:
    rows = [["creation of"]]
    for name, title in CREATIONS.items():
        rows += [[f"{title}: all", *_timed(sizes, name, "creation")]]
        rows += [["  exact check", *_timed(sizes, name, "exact")], ["  near check", *_timed(sizes, name, "near")]]
        rows += [["  CPU, mean", *(f"{one[name]['cpu_ms']:.2f}" for one in sizes)]]
        rows += [["  statements", *(f"{one[name]['statements']:.0f}" for one in sizes)]]
        rows += [["  persons compared: mean, most", *(_opened(one[name]["opened"]) for one in sizes)]]
        rows += [["  told of a near match", *(f"{one[name]['told']:.1%}" for one in sizes)]]
    rows += [["of somebody registered already: refusal", *_timed(sizes, "registered already", "refusal")]]
    rows += [["  exact check", *_timed(sizes, "registered already", "exact")]]
    return [*rows, ["in a chunk of 50 mails, each", *_timed(sizes, "chunk", "creation")]]


def _found(sizes: Sizes) -> list[list[str]]:
    kinds = {kind: [one["planted"][kind] for one in sizes] for kind in sizes[0]["planted"]}
    return [["planted near matches told"]] + [
        [f"  {kind}", *(f"{one['told']} of {one['planted']}" for one in counts)] for kind, counts in kinds.items()
    ]


def _timed(sizes: Sizes, name: str, what: str) -> list[str]:
    times = [one[name][what] for one in sizes]
    growth = times[-1]["median"] / times[0]["median"]
    return [*(f"{one['median']:.2f} {one['p99']:.2f} {one['max']:.1f}" for one in times), f"{growth:.2f}"]


def _opened(opened: Mapping[str, float]) -> str:
    return f"{opened['mean']:.1f} {opened['max']:.0f}"
