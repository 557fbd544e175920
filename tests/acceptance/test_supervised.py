"""`mailflow run` under a service manager: ready, alive, silent while it is stopped, stopping."""

import signal
from pathlib import Path

import pytest

from tests.acceptance.world import World
from tests.support.listening import service_manager

WATCHDOG_SECONDS = 0.9
PATIENCE_SECONDS = 60


def test_a_stopped_process_is_silent_and_a_wrong_setting_is_never_ready(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service_manager(tmp_path / "notify") as ear:
        monkeypatch.setenv("NOTIFY_SOCKET", ear.address)
        monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_SECONDS * 1e6)))
        worker = world.spawn("run")
        try:
            ear.wait_for("READY", PATIENCE_SECONDS)
            ear.wait_for("WATCHDOG", PATIENCE_SECONDS)
            worker.send_signal(signal.SIGSTOP)
            ear.hear(0.1)
            assert ear.hear(2 * WATCHDOG_SECONDS) == []
            worker.send_signal(signal.SIGCONT)
            ear.wait_for("WATCHDOG", PATIENCE_SECONDS)
            worker.send_signal(signal.SIGTERM)
            ear.wait_for("STOPPING", PATIENCE_SECONDS)
        finally:
            worker.send_signal(signal.SIGCONT)
            worker.terminate()
            _, err = worker.communicate(timeout=PATIENCE_SECONDS)
        assert worker.returncode == 0, err.decode()
        ear.so_far()
        with world.changed_settings(('secret_file = "secrets/mail"', 'secret_file = "secrets/absent"')) as config:
            assert world.mailflow("run", config=config).code == 78
        assert not any("READY" in said for said in ear.so_far())
