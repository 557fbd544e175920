"""An order that cannot be read falls alone: the worker goes on."""

import asyncio
from pathlib import Path

from mailflow import app
from mailflow.demo.installation import Installation, MailServers
from mailflow.mail import composing
from mailflow.mail.door import Progress
from mailflow.register import outbox
from mailflow.settings import load
from tests.support.pki import shared_pki
from tests.support.records import a_draft, rows

NOWHERE = MailServers(imap_port=1, smtp_port=1, service_user="demandes", audit_user="audit", password="secret")


def test_an_order_of_another_version_of_the_program_is_held(tmp_path: Path) -> None:
    installation = Installation(tmp_path, shared_pki(), NOWHERE)
    installation.create()
    assert asyncio.run(_composed(installation.config)) == [("held", "cannot be composed")]


async def _composed(config: Path) -> list[tuple[str, str]]:
    settings = load(config)
    async with app.register_of(settings) as register, app.mail_door(settings, register) as door:
        async with register.begin() as tx:
            await outbox.queue(tx, [a_draft(None, payload=b'{"of": "another version"}')], app.now())
        assert await composing.compose(door) == Progress(held=1)
        return [tuple(row) for row in await rows(register, "SELECT state, reason FROM outbox")]
