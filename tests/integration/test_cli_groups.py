"""Senders with rules of their own, at the command line."""

from pathlib import Path

from mailflow.demo.installation import Installation
from mailflow.demo.pki import Pki
from tests.integration.test_cli import (
    CONFIGURATION,
    DONE,
    Run,
    installation,
    listed,
    pem_file,
    pki,
    run,
    software,
    template,
)

__all__ = ["installation", "pki", "run", "software", "template"]


def of_check(run: Run) -> str:
    return next(line for line in run("check-config", "--offline")[1].splitlines() if "groups" in line)


def test_what_an_operator_does_with_them(run: Run, installation: Installation, pki: Pki, tmp_path: Path) -> None:
    assert of_check(run) == "ok    groups       0 senders with rules of their own"
    permitted = pki.issuing_rsa.identity.fingerprint
    text = installation.config.read_text(encoding="utf-8")
    group = f'[[trust.groups]]\nsenders = ["lille"]\nissuers = ["{permitted}"]\n'
    wrong = group.replace("lille", "lillle").replace(permitted, "0" * 64)
    installation.config.write_text(f"{text}{wrong}", encoding="utf-8")
    assert run("check-config", "--offline")[0] == CONFIGURATION
    assert "trust.groups[0].senders: lillle is not enrolled; trust.groups[0].issuers: 0000" in of_check(run)
    installation.config.write_text(f"{text}{group}", encoding="utf-8")
    assert of_check(run) == "ok    groups       1 senders with rules of their own"
    for kind, warned in (("rsa", False), ("p256", True)):
        certificate = pem_file(tmp_path, pki.issue(f"new {kind}", kind=kind))  # type: ignore[arg-type]  # two of them
        code, _, err = run("sender", "amend", "lille", "--sign", certificate)
        assert (code, "an issuer that is not permitted to this sender" in err) == (DONE, warned)
    assert len(listed(run, "sender", "list")) == 1
