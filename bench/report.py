"""The figures for people: one table, a column for each database."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

MIB = 1024 * 1024
Rows = list[tuple[str, list[str]]]


def show(report: Mapping[str, Any]) -> None:
    """Print the table."""
    machine, databases = report["machine"], report["databases"]
    console = Console()
    console.print(f"{report['command']}   ({', '.join(f'{k} {v}' for k, v in machine.items())})", highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in databases:
        table.add_column(name, justify="right")
    for title, values in _rows(list(databases.values())):
        table.add_row(title, *values)
    console.print(table)
    if len(databases) > 1:
        first, second = databases
        ratio = _rate(databases[first]) / _rate(databases[second])
        console.print(f"{first} : {second} = {ratio:.2f} in messages a second")


def _rate(measured: Mapping[str, Any]) -> float:
    return float(measured["bare"]["mails_per_second_accepted"])


def _rows(measured: list[Mapping[str, Any]]) -> Rows:
    rows: Rows = []
    for kind, title in (("bare", "answered without attestations"), ("attested", "answered with attestations")):
        rows += [(title, [""] * len(measured)), *_of_a_drain([one[kind] for one in measured])]
    rows.append(("of the main process, by stage", [""] * len(measured)))
    for stage in dict.fromkeys(stage for one in measured for stage in one["stages"]):
        rows.append((f"  {stage}", [_number(one["stages"].get(stage)) for one in measured]))
    rows.append(("of the pool, at the least", [""] * len(measured)))
    for part in measured[0]["parts"]:
        rows.append((f"  {part}", [_number(one["parts"][part]) for one in measured]))
    lone = [one["lone"] for one in measured]
    rows.append(("a lone mail, seconds to answer accepted: median", [f"{one['median_seconds']:.3f}" for one in lone]))
    rows.append(("  worst", [f"{one['worst_seconds']:.3f}" for one in lone]))
    rows.append(("  since it was read: median", [f"{one['median_seconds_since_read']:.3f}" for one in lone]))
    rows.append(("  the first, which starts the pool", [f"{one['first_seconds']:.3f}" for one in lone]))
    return rows


def _of_a_drain(drains: list[Mapping[str, Any]]) -> Rows:
    rows: Rows = [
        ("  mails, of bytes each", [f"{d['mails']} x {d['mail_bytes_mean']}" for d in drains]),
        ("  answers, of bytes each", [str(d["answer_bytes_mean"]) for d in drains]),
        (
            "  messages a second, start to last answer accepted",
            [f"{d['mails_per_second_accepted']:.0f}" for d in drains],
        ),
        ("    until delivered to the desks as well", [f"{d['mails_per_second_delivered']:.0f}" for d in drains]),
        ("    at most, if these cores did nothing else", [f"{d['rate_bound_by_all_cpu']:.0f}" for d in drains]),
        ("  cores busy with it", [f"{d['cores_busy']:.0%}" for d in drains]),
        ("  CPU ms a message, all", [f"{d['cpu_ms_per_mail_all']:.2f}" for d in drains]),
    ]
    for group in dict.fromkeys(group for d in drains for group in d["cpu_ms_per_mail"]):
        rows.append((f"    {group}", [_number(d["cpu_ms_per_mail"].get(group)) for d in drains]))
    rows.append(("  peak memory of our processes, PSS MiB", [f"{d['peak_pss_bytes'] / MIB:.0f}" for d in drains]))
    for part in drains[0]["peak_pss_parts"]:
        rows.append((f"    {part}", [f"{d['peak_pss_parts'][part] / MIB:.0f}" for d in drains]))
    return rows


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
