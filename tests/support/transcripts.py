"""What commands print, for the documents: real commands on a small register, at an instant that is always the same."""

import asyncio
import contextlib
import io
import tempfile
from datetime import timedelta
from pathlib import Path

from mailflow.cli.main import call
from mailflow.core.model import Environment
from mailflow.register import Register, files, installation, intake, outbox
from mailflow.settings.sample import sample
from tests.support.clock import at_instant
from tests.support.databases import VAULT, SqliteFiles
from tests.support.records import LATER, NOW, a_draft, a_file, arrival, claim, octets, settlement

ANSWERED_MINUTES_AGO = (95, 94, 61, 60, 9, 8, 7, 6)
WAITING_MINUTES_AGO = (395, 5, 4)


def terminal() -> str:
    """The queue and the forecast, as they are typed and as they answer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = _installation(folder)
        lines = ["```console"]
        for command in ("queue", "forecast"):
            said = io.StringIO()
            with at_instant(NOW), contextlib.redirect_stdout(said):
                call(["--config", str(config), command])
            lines += [f"$ mailflow {command}", *(line.rstrip() for line in said.getvalue().rstrip().splitlines())]
    return "\n".join([*lines, "```"]) + "\n"


def _installation(folder: Path) -> Path:
    """Settings, keys and a register with a morning's mails."""
    for path, key in (("keys/master/test.key", b"m" * 32), ("keys/lookup.key", b"l" * 32)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(key.hex())
        (folder / path).chmod(0o600)
    (folder / "data").mkdir()
    url = SqliteFiles(folder=folder / "data").fresh(migrated=True)
    config = folder / "mailflow.toml"
    config.write_text(sample({"register.url": url}), encoding="utf-8")
    asyncio.run(_morning(url))
    return config


async def _morning(url: str) -> None:
    """Most mails are answered; one waits for a revocation list, two have only just come."""
    register = Register.open(url, VAULT)
    try:
        async with register.begin() as tx:
            await installation.settle_environment(tx, Environment.SCHOOL)
            ages = enumerate((*ANSWERED_MINUTES_AGO, WAITING_MINUTES_AGO[0]), 1)
            await intake.take_in(tx, [arrival(uid, minutes_ago=minutes) for uid, minutes in ages], NOW)
        ids = [mail.id for mail in await claim(register)]
        *answered, undetermined = sorted(ids)
        async with register.begin() as tx:
            await files.claim(tx, [a_file(f"f{id_}", id_, sequence=id_) for id_ in answered])
            await outbox.queue(tx, [a_draft(id_, key=str(id_)) for id_ in answered], NOW)
            await intake.settle(tx, "me", [settlement(id_) for id_ in answered], NOW - timedelta(minutes=2))
            await intake.postpone(tx, "me", [undetermined], LATER, reason="CTRL_SIG_0016", detail="")
        async with register.begin() as tx:
            rows = [row.id for row in await outbox.claim_queued(tx, "me", len(answered), NOW, LATER)]
            await outbox.freeze(tx, {id_: [octets(b"octets", str(id_))] for id_ in rows})
            await outbox.mark_sent(tx, rows, NOW - timedelta(minutes=1))
        async with register.begin() as tx:
            young = enumerate(WAITING_MINUTES_AGO[1:], 100)
            await intake.take_in(tx, [arrival(uid, minutes_ago=minutes) for uid, minutes in young], NOW)
    finally:
        await register.close()
