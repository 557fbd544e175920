"""A batch fetches the revocation lists that it needs before it judges; the service fetches them beside its work."""

import signal
import time
from datetime import datetime

from tests.acceptance.world import STOP_SECONDS, World
from tests.servers.web import web
from tests.support.letters import Writer, many, verdict


def test_mails_are_accepted_by_lists_that_are_fetched(world: World, at: datetime) -> None:
    folder = world.installation.folder
    files = {file: file.read_bytes() for file in (folder / "trust/crls").iterdir()}
    for file in files:
        file.unlink()
    with web() as site:
        for number, der in enumerate(world.pki.crls(published=at)):
            site.pages[f"/{number}.crl"] = der
        urls = ", ".join(f'"{site.url(path)}"' for path in site.pages)
        text = world.installation.config.read_text(encoding="utf-8")
        try:
            with world.changed_settings((text, f"{text}\n[revocation]\nurls = [{urls}]\n")) as config:
                letters = many(Writer(world.installation, at), world.software, 2)
                world.post([letter.raw for letter in letters])
                done = world.mailflow("run", "--once", "--json", config=config)
                assert (done.code, done.json["answered"]) == (0, 2), done.err
                world.settle()
                assert verdict(world, letters, at) == []
                assert len(site.asked) == len(site.pages), "each once: they are not due again"
                assert world.mailflow("revocation", "refresh", config=config).code == 0
                assert {status for _, status in site.asked[len(site.pages) :]} == {304}
                world.begin_anew()  # of the register nothing is left, so the service has to ask
                site.asked.clear()
                service = world.spawn("run", config=config)
                until = time.monotonic() + 60
                while len(site.asked) < len(site.pages) and time.monotonic() < until:
                    time.sleep(0.05)
                service.send_signal(signal.SIGTERM)
                _, said = service.communicate(timeout=STOP_SECONDS + 20)
                assert (len(site.asked), service.returncode) == (len(site.pages), 0), said
        finally:
            for file, octets in files.items():
                file.write_bytes(octets)
