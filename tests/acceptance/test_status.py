"""The status of a running service, as monitors and people ask for it: never anything of what was sent."""

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tests.acceptance.test_secrecy import CANARIES, found_in, letters
from tests.acceptance.world import World
from tests.servers.process import free_ports

PATIENCE_SECONDS = 60
PATHS = ("/", "/style.css", "/metrics", "/health/live", "/health/ready")


@contextmanager
def serving(world: World, *changes: tuple[str, str]) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A running worker with its status at this URL."""
    (port,) = free_ports(1)
    text = world.installation.config.read_text(encoding="utf-8")
    with world.changed_settings((text, f'{text}\n[status]\naddress = "127.0.0.1:{port}"\n'), *changes) as config:
        worker = world.spawn("run", config=config)
        try:
            yield f"http://127.0.0.1:{port}", worker
        finally:
            worker.send_signal(signal.SIGTERM)
            _, err = worker.communicate(timeout=PATIENCE_SECONDS)
    assert worker.returncode == 0, err.decode()
    assert found_in(err) == set()


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def wait_for(url: str, pattern: str) -> str:
    """What is at `url` once it matches."""
    end, text = time.monotonic() + PATIENCE_SECONDS, ""
    while time.monotonic() < end:
        try:
            text = get(url)[1].decode()
        except OSError:
            text = "nobody listens"
        if re.search(pattern, text, re.MULTILINE):
            return text
        time.sleep(0.3)
    raise AssertionError(f"no {pattern} in {text}")


def test_a_service_that_works_says_so_and_nothing_of_what_it_works_on(world: World, at: datetime) -> None:
    sent = letters(world, at)
    assert {form for form in CANARIES if form.encode() in b"".join(f.octets for one in sent for f in one.files)}
    with serving(world) as (url, _):
        wait_for(f"{url}/health/ready", '"ok"')
        world.post([letter.raw for letter in sent])
        wait_for(f"{url}/metrics", rf'^mailflow_steps_total{{step="received"}} {len(sent)}\.0')
        wait_for(f"{url}/metrics", r"^mailflow_waiting 0\.0")
        told = {path: get(url + path) for path in PATHS}
        text = told["/metrics"][1].decode()
    assert {code for code, _ in told.values()} == {200}
    assert {form for _, body in told.values() for form in found_in(body)} == set()
    assert json.loads(told["/health/live"][1]) == {"status": "ok", "problems": []}
    page = told["/"][1].decode()
    assert "All is in order." in page
    assert "Nothing is waiting." in page
    for metric in (
        'lock_held{lock="receive"} 1.0',
        'dependency_call_seconds_count{dependency="imap",operation="list",outcome="done"}',
        'dependency_call_seconds_count{dependency="smtp",operation="send",outcome="sent"}',
        'dependency_call_seconds_count{dependency="pool",operation="judge",outcome="done"}',
        'dependency_call_seconds_count{dependency="database",operation="write",outcome="done"}',
        'stage_turn_seconds_count{outcome="done",stage="process"}',
        'expiry_timestamp_seconds{kind="service",name="signing"}',
        'expiry_timestamp_seconds{kind="list",',
        'expiry_timestamp_seconds{kind="sender-sign",name="mairie-lille"}',
        "answered_up_to_timestamp_seconds 1.",
        "register_up 1.0",
        'requests_total{desk="',
        'mails_total{outcome="answered",sender="mairie-lille"}',
        'mails_total{outcome="set_aside",sender=""}',
        'anomalies_total{code="CTRL_SIG_0001"}',
        'job_done_timestamp_seconds{task="retention"}',
        "process_resident_memory_bytes",
    ):
        assert metric in text, metric


def test_a_server_that_is_down_makes_it_alive_but_not_ready(world: World, at: datetime) -> None:
    (letter, *_) = letters(world, at)
    world.post([letter.raw])
    with serving(world, (f"port = {world.postfix.port}", "port = 9")) as (url, _):
        wait_for(f"{url}/metrics", r'dependency="smtp",operation="send",outcome="deferred"')
        page = wait_for(f"{url}/", "Waiting for an answer: 1;")
        assert get(f"{url}/health/live")[0] == 200
        assert "composed" in page
        assert "mairie-lille" in page
        assert re.search(r"^mailflow_waiting 1\.0", get(f"{url}/metrics")[1].decode(), re.MULTILINE)
    with serving(world, (f"port = {world.dovecot.imap_port}", "port = 9")) as (url, _):
        told = wait_for(f"{url}/health/ready", "the stage receive finds its server")
        assert json.loads(told)["status"] == "trouble"
        assert get(f"{url}/health/ready")[0] == 503
        assert get(f"{url}/health/live")[0] == 200
        assert "Trouble" in get(f"{url}/")[1].decode()


def test_without_an_address_nobody_listens_and_a_taken_one_is_a_wrong_setting(world: World, tmp_path: Path) -> None:
    with serving(world) as (url, _):
        wait_for(f"{url}/health/live", '"ok"')
        text = world.installation.config.read_text(encoding="utf-8")
        config = world.installation.folder / "second.toml"
        config.write_text(f'{text}\n[status]\naddress = "{url.removeprefix("http://")}"\n', encoding="utf-8")
        done = world.mailflow("run", config=config)
        config.unlink()
    assert done.code == 78
    assert "status.address" in done.err
