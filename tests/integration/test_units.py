"""The systemd units: systemd understands them, and what they run can do little else."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mailflow.cli.invocation import Exit
from mailflow.cli.main import cli
from mailflow.settings.model import Worker
from tests.support.available import require

UNITS = Path(__file__).parents[2] / "systemd"
SERVICES = ("mailflow.service", "mailflow-batch.service", "mailflow-watch.service")
EXPOSURE_MAX = 15
"""In tenths: systemd-analyze calls less than 2.0 safe."""

MAIN_BYTES_MAX = 1 << 30
"""Of the main process: 560 MiB are the most that was measured, of 40 mails of 23 MiB each."""


def values(unit: str, name: str) -> list[str]:
    text = (UNITS / unit).read_text(encoding="utf-8")
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    require("systemd-analyze")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("unit", SERVICES)
def test_a_service_can_do_little_beside_its_work(unit: str) -> None:
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MAX}", str(UNITS / unit))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def test_systemd_understands_every_unit(tmp_path: Path) -> None:
    for unit in UNITS.iterdir():
        shutil.copy(unit, tmp_path)
        copy = tmp_path / unit.name
        copy.write_text(copy.read_text().replace("ExecStart=/usr/bin/mailflow", "ExecStart=/bin/echo"))
    names = [str(tmp_path / unit.name) for unit in sorted(UNITS.iterdir())]
    assert {Path(name).name for name in names} == {*SERVICES, "mailflow-batch.timer", "mailflow-watch.timer"}
    done = analyze("verify", "--man=no", *names)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_all_services_are_confined_alike() -> None:
    texts = [(UNITS / unit).read_text(encoding="utf-8").partition("[Install]")[0] for unit in SERVICES]
    service, *others = ("User=" + text.partition("\nUser=")[2].strip() for text in texts)
    assert "ProtectSystem=strict" in service
    assert others == [service] * (len(SERVICES) - 1)


def test_the_units_agree_with_the_program() -> None:
    assert values("mailflow.service", "RestartPreventExitStatus") == [str(Exit.CONFIGURATION.value)]
    assert values("mailflow-batch.service", "SuccessExitStatus") == [str(Exit.SET_ASIDE.value)]
    stop_seconds = Worker.model_fields["stop_seconds"].default
    assert all(int(value) > stop_seconds for unit in SERVICES for value in values(unit, "TimeoutStopSec"))
    for unit in SERVICES:
        words = values(unit, "ExecStart")[0].split()[3:]
        assert words[0] in cli.commands
    pool_bytes = Worker.model_fields["processes"].default * Worker.model_fields["task_memory_bytes_max"].default
    for unit in SERVICES[:2]:  # those that have a pool; its processes keep to a bound of their own
        assert MAIN_BYTES_MAX + pool_bytes <= int(values(unit, "MemoryMax")[0].removesuffix("G")) << 30
    lent = {value.partition(":")[0] for value in values("mailflow.service", "LoadCredential")}
    assert lent == {"mailbox", "audit", "smtp", "webhook", "ping"}
