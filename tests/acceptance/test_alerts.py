"""Who is told when something is wrong: by mail over the mail server, by a webhook, and by the silence of a ping."""

import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.acceptance.test_secrecy import found_in, letters
from tests.acceptance.world import World

PATIENCE_SECONDS = 60


@dataclass
class Hooks:
    """A server that listens to alerts and to signs of life."""

    url: str
    alerts: list[bytes] = field(default_factory=list)
    pings: int = 0
    status: int = 204

    @property
    def told(self) -> list[tuple[str, str]]:
        """Occasion and alarm, in order."""
        return [(one["occasion"], one["alarm"]) for body in self.alerts for one in json.loads(body)["alerts"]]


@contextmanager
def hooks() -> Iterator[Hooks]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if heard.status < 300:
                heard.alerts.append(body)
            self._answer()

        def do_GET(self) -> None:
            heard.pings += 1
            self._answer()

        def _answer(self) -> None:
            self.send_response(heard.status)
            self.send_header("Location", heard.url)
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard = Hooks(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def told_of(world: World, heard: Hooks, *changes: tuple[str, str]) -> Iterator[Path]:
    """Settings by which operators are told; two desks of the world lend them their mailboxes."""
    for name in ("webhook", "ping"):
        file = world.installation.folder / "secrets" / name
        file.touch(mode=0o600)
        file.write_text(f"{heard.url}/{name}/geheimnis\n")
    addresses = {one.sender: one.address for one in world.software}
    first, second = addresses[world.software[0].sender], addresses[world.software[1].sender]
    text = world.installation.config.read_text(encoding="utf-8")
    told = f"""{text}
[alerts]
mail_to = ["{first}"]
escalation_mail_to = ["{second}"]
webhook_url_file = "secrets/webhook"
ping_url_file = "secrets/ping"
"""
    with world.changed_settings((text, told), *changes) as config:
        yield config


def mails_of(world: World, sender: str) -> list[bytes]:
    """The alerts in a mailbox."""
    return [raw for raw in world.dovecot.messages(sender) if b"Message-ID: <alert." in raw]


def later(world: World, minutes: int, *arguments: str, config: Path) -> tuple[int, str]:
    """A command, so many minutes from now."""
    world_config, world.installation.config = world.installation.config, config
    try:
        return world.start("--later", str(minutes), arguments=arguments).wait()
    finally:
        world.installation.config = world_config


@pytest.mark.slow
@pytest.mark.long_on("postgresql")
def test_a_dead_worker_is_told_of_by_somebody_else_until_it_lives_again(either_world: World, at: datetime) -> None:
    world = either_world
    first, second, _ = (one.sender for one in world.software)
    with hooks() as heard, told_of(world, heard) as config:
        sent = letters(world, at)
        world.post([letter.raw for letter in sent])
        assert world.mailflow("run", "--once", config=config).code in (0, 65, 75)
        assert heard.pings == 1
        heard.alerts.clear()
        # The service dies. The timer goes on.
        for minutes in (20, 26):
            code, said = later(world, minutes, "watch", config=config)
            assert code == 0, said
            assert found_in(said.encode()) == set()
        world.settle()
        assert ("raised", "Down") in heard.told
        text = message_from_bytes(mails_of(world, first)[-1], policy=default)
        assert "critical" in text["Subject"]
        assert text["Auto-Submitted"] == "auto-generated"
        body = text.get_content()
        assert "CRITICAL: mailflow gives no sign of life." in body
        assert "  type   systemctl status mailflow" in body
        number = re.search(r'gives no sign of life.*?acknowledge (\d+) --why "\.\.\." --apply', body, re.DOTALL)
        assert number is not None
        assert mails_of(world, second) == []
        # Nobody heeds it.
        assert later(world, 90, "watch", config=config)[0] == 0
        world.settle()
        (passed_on,) = mails_of(world, second)
        assert b"nobody has acknowledged: " in passed_on
        # Now somebody does, and starts the service.
        listed = world.mailflow("alarms", "list", config=config)
        assert listed.code == 65
        assert "CRITICAL: mailflow gives no sign of life." in listed.out
        done = world.mailflow("alarms", "acknowledge", number[1], "--why", "started again", "--apply", config=config)
        assert done.code == 0
        again = world.mailflow("alarms", "acknowledge", number[1], "--why", "me too", "--apply", config=config)
        assert (again.code, "acknowledged already" in again.err) == (65, True)
        heard.alerts.clear()
        for minutes in (95, 106):
            assert later(world, minutes, "run", "--once", config=config)[0] in (0, 65, 75)
        assert ("cleared", "Down") in heard.told
        world.settle()
        everything = b"".join([*mails_of(world, first), *mails_of(world, second), *heard.alerts])
    assert found_in(everything) == set()
    assert b"geheimnis" not in everything


def test_a_service_that_runs_says_so_and_whoever_cannot_be_told_delays_nothing(world: World, at: datetime) -> None:
    (letter, *_) = letters(world, at)
    with hooks() as heard, told_of(world, heard) as config:
        heard.status = 302  # a redirect is not followed, and not an answer
        worker = world.spawn("run", config=config)
        try:
            world.post([letter.raw])
            end = time.monotonic() + PATIENCE_SECONDS
            while not (heard.pings and world.answers(world.software[0])) and time.monotonic() < end:
                time.sleep(0.3)
            assert heard.pings
            assert world.answers(world.software[0])
        finally:
            worker.send_signal(signal.SIGTERM)
            _, err = worker.communicate(timeout=PATIENCE_SECONDS)
    assert worker.returncode == 0, err.decode()
    assert b"stage=ping-unheard" in err
    assert b"geheimnis" not in err


def test_a_trial_goes_to_everybody_who_would_be_told(world: World) -> None:
    first, second, _ = (one.sender for one in world.software)
    nobody = world.mailflow("alarms", "test", "--apply")
    assert (nobody.code, "[alerts]" in nobody.err) == (65, True)
    with hooks() as heard, told_of(world, heard) as config:
        plan = world.mailflow("alarms", "test", config=config)
        assert (plan.code, heard.alerts, "geheimnis" in plan.out) == (0, [], False)
        done = world.mailflow("alarms", "test", "--apply", "--json", config=config)
        assert done.json == [{"channel": name, "result": "told"} for name in ("first", "second", "webhook", "ping")]
        world.settle()
        assert [len(mails_of(world, sender)) for sender in (first, second)] == [1, 1]
        assert json.loads(heard.alerts[0])["trial"] is True
        heard.status = 500
        deaf = world.mailflow("alarms", "test", "--apply", "--json", config=config)
        assert (deaf.code, deaf.json[2]["result"]) == (75, "alerts.webhook_url_file: answered 500")


def test_without_its_register_the_watch_tells_all_the_same(world: World) -> None:
    away = ('"sqlite:///register.db"', '"postgresql://nobody@127.0.0.1/x?connect_timeout=2"')
    with hooks() as heard, told_of(world, heard, away) as config:
        done = world.mailflow("watch", config=config)
    assert done.code == 75, done.err
    assert heard.told == [("raised", "RegisterUnreadable")]
    assert heard.pings == 0
    world.settle()
    (told,) = mails_of(world, world.software[0].sender)
    assert b"The register cannot be read." in told


@pytest.mark.parametrize("url", ["http://alerts.example/hook", "geheimnis", ""])
def test_an_address_that_would_not_be_protected_is_a_wrong_setting(world: World, url: str) -> None:
    with hooks() as heard, told_of(world, heard) as config:
        (world.installation.folder / "secrets/webhook").write_text(f"{url}\n")
        for command in (("run", "--once"), ("watch",), ("check-config", "--offline")):
            done = world.mailflow(*command, config=config)
            assert done.code == 78, done.out
            assert "geheimnis" not in done.out + done.err
            assert "webhook" in done.out + done.err
