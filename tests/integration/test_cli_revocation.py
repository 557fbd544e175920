"""`mailflow revocation` at the command line: what is known of revocations, and asking for it now."""

import json

from mailflow.demo.installation import Installation
from mailflow.demo.pki import DAY, Pki
from tests.integration.test_cli import DONE, NOW, Run, installation, listed, pki, run, software, template
from tests.servers.web import web

__all__ = ["installation", "pki", "run", "software", "template"]

TEMPORARY = 75


def test_what_an_operator_does_with_it(run: Run, installation: Installation, pki: Pki) -> None:
    files = listed(run, "revocation", "list")
    assert {(one["kind"], one["state"]) for one in files} == {("file", "current"), ("file", "ended")}
    assert "only from trust.crls_dir" in run("check-config", "--offline")[1]
    with web() as site:
        url = site.url("/list.crl")
        with installation.config.open("a", encoding="utf-8") as config:
            config.write(f'[revocation]\nurls = ["{url}"]\n')
        assert listed(run, "revocation", "list")[-1]["state"] == "not asked yet"
        code, out, err = run("revocation", "refresh")
        assert (code, out) == (TEMPORARY, "1 asked\n")
        assert f"nothing current of {url} (answered 404)" in err
        site.pages["/list.crl"] = pki.crl(pki.issuing_ec, published=NOW)
        assert run("revocation", "refresh", "--json")[:2] == (DONE, '{\n  "asked": 1,\n  "nothing_current": []\n}\n')
        row = listed(run, "revocation", "list")[-1]
        assert (row["source"], row["state"]) == (url, "current")
        assert "1 sources, 1 current, the first until" in run("check-config", "--offline")[1]
        site.pages["/list.crl"] = pki.crl(pki.issuing_ec, published=NOW - DAY)
        assert run("revocation", "refresh")[0] == DONE, "what is had still holds"
        row = listed(run, "revocation", "list")[-1]
        assert row["state"] == "current; 1 failures: older than the one that is kept"
        assert json.loads(run("check-config", "--offline", "--json")[1])
