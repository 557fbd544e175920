"""`mailflow service-keys`: what it makes, refuses, tells senders, and records."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from mailflow import app
from mailflow.app.status import service_expiries
from mailflow.core.service_keys import ServiceKey
from mailflow.demo.certificates import Identity
from mailflow.demo.installation import DeskSoftware, Installation
from mailflow.demo.pki import Pki
from mailflow.jobs.orders import SERVICE_CERTIFICATE
from mailflow.mail import pem
from mailflow.mail.letter import Composition
from mailflow.mail.trust import Trust
from mailflow.register import directory, outbox
from mailflow.settings import load
from tests.integration.test_cli import DONE, SET_ASIDE, USAGE, Run, installation, listed, pki, run, software, template
from tests.support.records import rows

__all__ = ["installation", "pki", "run", "software", "template"]
DAY = timedelta(days=1)
APPLY = ("--why", "yearly", "--apply")


def make(run: Run, folder: Path, identity: Identity, use: str = "decryption") -> str:
    """The name of a key that is this one's."""
    given = folder / "given.key"
    given.write_bytes(identity.key_pem)
    given.chmod(0o600)
    assert run("service-keys", "make", "--use", use, "--key", given, *APPLY)[0] == DONE
    return max(str(one["name"]) for one in listed(run, "service-keys", "list") if one["state"] == "made")


def stage(run: Run, name: str, certificate: Path, *more: str) -> tuple[int, str, str]:
    return run("service-keys", "stage", name, "--certificate", certificate, *more, *APPLY)


def written(folder: Path, identity: Identity) -> Path:
    file = folder / f"{identity.name}.pem"
    file.write_bytes(identity.pem)
    return file


def known(installation: Installation) -> tuple[ServiceKey, ...]:
    async def read() -> tuple[ServiceKey, ...]:
        async with app.register_of(load(installation.config)) as register, register.read() as tx:
            return (await directory.read(tx)).service_keys

    return asyncio.run(read())


def queried(installation: Installation, statement: str) -> Sequence[Any]:
    async def read() -> Sequence[Any]:
        async with app.register_of(load(installation.config)) as register:
            return await rows(register, statement)

    return asyncio.run(read())


def test_a_key_is_made_with_a_request_and_a_certificate_of_its_own(run: Run, installation: Installation) -> None:
    assert run("service-keys", "make", "--use", "signing", "--why", "yearly")[1].startswith("would: keep a signing key")
    assert [one["state"] for one in listed(run, "service-keys", "list")] == ["present", "present"]
    assert run("service-keys", "make", "--use", "signing", *APPLY)[0] == DONE
    (made,) = [one for one in listed(run, "service-keys", "list") if one["state"] == "made"]
    request = x509.load_pem_x509_csr(Path(made["certificate"]).read_bytes())
    certificate = x509.load_pem_x509_certificate(Path(made["certificate"]).with_suffix(".crt").read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert request.is_signature_valid
    assert request.public_key() == certificate.public_key()
    assert (usage.digital_signature, usage.key_encipherment) == (True, False)
    assert Path(made["certificate"]).with_suffix(".key").stat().st_mode & 0o777 == 0o600
    assert known(installation) == (), "nothing uses it"
    assert run("service-keys", "stage", made["name"], *APPLY)[0] == DONE, "by its own certificate"
    (entry,) = queried(installation, "SELECT detail FROM journal WHERE kind = 'service-key-staged'")
    assert json.loads(entry.detail)["why"] == "yearly"


def test_what_would_not_serve_is_refused(run: Run, pki: Pki, tmp_path: Path) -> None:
    right = pki.issue("right", kind="p256")
    name = make(run, tmp_path, right)
    ended = pki.issue("ended", kind="p256", ends=DAY)
    for certificate, said in (
        (pki.issue("other", kind="p256"), "do not belong together"),
        (pki.service_rsa, "do not belong together"),
    ):
        code, _, err = stage(run, name, written(tmp_path, certificate))
        assert (code != DONE, said in err) == (True, True)
    short = make(run, tmp_path, ended)
    assert "the certificate holds from" in stage(run, short, written(tmp_path, ended))[2], "not in 14 days"
    assert stage(run, "decryption-1", written(tmp_path, right))[0] == USAGE, "which is the settings' own"
    assert stage(run, name, written(tmp_path, right), "--from", "2027-03-01")[0] == DONE
    assert "was staged before" in stage(run, name, written(tmp_path, right))[2]
    assert "would never serve" in stage(run, short, written(tmp_path, ended), "--from", "2026-01-01")[2]


def test_every_sender_is_told_by_a_mail_that_it_can_prove(
    run: Run, installation: Installation, software: DeskSoftware, pki: Pki, tmp_path: Path
) -> None:
    new = pki.issue("new", kind="p256")
    stage(run, make(run, tmp_path, new), written(tmp_path, new), "--from", "2027-01-04")

    async def composed() -> bytes:
        settings = load(installation.config)
        async with app.register_of(settings) as register, register.begin() as tx:
            at = app.now() + timedelta(minutes=1)
            (row,) = await outbox.claim_queued(tx, "test", 9, at, at)
            material = await app.trust_files(settings).material(await directory.read(tx))
            composition = Composition(
                kind=SERVICE_CERTIFICATE,
                order=row.payload,
                recipient=row.recipient,
                message_id=row.message_id,
                further="",
                dated_at=at,
            )
        (mail,) = app.make_composer(settings)(Trust(material)).compose(composition, at).mails
        return mail.raw

    opened = installation.open(software, asyncio.run(composed()), datetime.now(UTC))
    assert "À partir du 04/01/2027 à 00:00 (heure de Paris)" in opened.text
    assert new.fingerprint in opened.text
    assert "lu jusqu'au 04/04/2027" in opened.text, "retention_days later"
    (content,) = opened.files.values()
    assert pem.read_der(content, pem.CERTIFICATE) == (new.der,)


def test_a_key_is_retired_once_another_serves_and_nobody_can_need_it(
    run: Run, installation: Installation, pki: Pki, tmp_path: Path
) -> None:
    retire = ("service-keys", "retire")
    assert "is the present key: stage another one first" in run(*retire, "decryption-1", *APPLY)[2]
    new = pki.issue("new", kind="p256")
    stage(run, make(run, tmp_path, new), written(tmp_path, new), "--from", "2026-01-01")
    code, _, err = run(*retire, "decryption-1", *APPLY)
    assert (code, "mails to it may still come" in err) == (SET_ASIDE, True)
    assert run(*retire, "decryption-1", "--at-once")[1].startswith("would: use the decryption key")
    assert run(*retire, "decryption-1", "--at-once", *APPLY)[0] == DONE
    states = {one["name"]: one["state"] for one in listed(run, "service-keys", "list")}
    assert (states["decryption-1"], states["signing"]) == ("retired", "present"), (
        "the same certificate, for another use"
    )
    assert "is retired already" in run(*retire, "decryption-1", *APPLY)[2]
    assert run("check-config", "--offline")[0] == DONE
    assert "1 that decrypt" in run("check-config", "--offline")[1]


def test_the_end_of_a_certificate_is_told_of_until_another_follows_in_time(
    run: Run, installation: Installation, pki: Pki, tmp_path: Path
) -> None:
    ends = x509.load_der_x509_certificate(installation.identity.der).not_valid_after_utc
    settings, at = load(installation.config), datetime.now(UTC)
    before = {one.name: one.at for one in service_expiries(settings, known(installation), at)}
    assert before == {"signing": ends, "decryption-1": ends}
    new = pki.issue("new", kind="p256", ends=800 * DAY)
    name = make(run, tmp_path, new, "signing")
    stage(run, name, written(tmp_path, new))
    after = {one.name: one.at for one in service_expiries(settings, known(installation), at)}
    assert after.keys() == {name, "decryption-1"}
    assert after[name] > ends
    late = [replace(key, active_from=ends + DAY) for key in known(installation)]
    assert {one.name for one in service_expiries(settings, late, at)} == {"signing", name, "decryption-1"}, "too late"
