"""Every way to connect and log in, and servers that can do less than they should."""

from pathlib import Path

import pytest

from mailflow.errors import Misconfigured, Unavailable
from mailflow.mail.imap import ImapMailbox, Security
from mailflow.mail.imap_session import Authentication
from mailflow.selftest.proxy import Fault, FaultProxy, Rule, Side
from tests.integration.conftest import ODD_PASSWORDS
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.support.available import require
from tests.support.mailbox_places import (
    ServerPlace,
    a_mail,
    an_account,
    closing,
)

# Connecting


@pytest.mark.parametrize("security", Security)
@pytest.mark.parametrize("authentication", Authentication)
async def test_every_way_to_connect_and_to_log_in(
    dovecot: Dovecot, security: Security, authentication: Authentication
) -> None:
    account = an_account(
        server=dovecot,
        port=dovecot.imaps_port if security is Security.TLS else dovecot.imap_port,
        security=security,
        authentication=authentication,
        secret=lambda: PASSWORD if authentication is Authentication.LOGIN else dovecot.token("svc"),
    )
    async with closing(ImapMailbox(account, "INBOX")) as mailbox:
        assert (await mailbox.list()).uidvalidity > 0


@pytest.mark.parametrize("user", ODD_PASSWORDS)
async def test_passwords_may_hold_quotes_and_letters_beyond_ascii(dovecot: Dovecot, user: str) -> None:
    account = an_account(port=dovecot.imap_port, user=user, secret=lambda: ODD_PASSWORDS[user])
    async with closing(ImapMailbox(account, "INBOX")) as mailbox:
        assert (await mailbox.list()).uids == ()


@pytest.mark.parametrize("authentication", Authentication)
@pytest.mark.parametrize("secret", ["wrong-secret", "wröng-secret"])
async def test_a_refused_login_is_for_the_operator_and_hides_the_secret(
    dovecot: Dovecot, authentication: Authentication, secret: str
) -> None:
    account = an_account(port=dovecot.imap_port, authentication=authentication, secret=lambda: secret)
    async with closing(ImapMailbox(account, "INBOX")) as mailbox:
        with pytest.raises(Misconfigured) as refused:
            await mailbox.list()
    assert secret not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("authentication", [Authentication.XOAUTH2, Authentication.OAUTHBEARER])
async def test_an_expired_token_and_the_token_of_another_are_refused(
    dovecot: Dovecot, authentication: Authentication
) -> None:
    for token in (dovecot.token("svc", lifetime_seconds=-60), dovecot.token("bob")):
        account = an_account(port=dovecot.imap_port, authentication=authentication, secret=lambda t=token: t)  # type: ignore[misc]  # mypy cannot infer a lambda's default
        async with closing(ImapMailbox(account, "INBOX")) as mailbox:
            with pytest.raises(Misconfigured):
                await mailbox.list()


async def test_a_rotated_token_is_read_at_the_next_connection(dovecot: Dovecot, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(dovecot.token("svc", lifetime_seconds=-60))
    account = an_account(port=dovecot.imap_port, authentication=Authentication.XOAUTH2, secret=file.read_text)
    async with closing(ImapMailbox(account, "INBOX")) as mailbox:
        with pytest.raises(Misconfigured):
            await mailbox.list()
        file.write_text(dovecot.token("svc"))
        assert (await mailbox.list()).uidvalidity > 0
        await mailbox.close()
        file.unlink()
        with pytest.raises(Unavailable):
            await mailbox.list()


async def test_starttls_that_somebody_strips_is_a_failure_and_no_secret_leaves(dovecot: Dovecot) -> None:
    strip = Rule(side=Side.SERVER, fault=Fault.REPLACE, match=b"STARTTLS", replacement=b"* CAPABILITY IMAP4rev1\r\n")
    greeting = Rule(side=Side.SERVER, fault=Fault.REPLACE, match=b"^\\* OK", replacement=b"* OK hello\r\n")
    async with FaultProxy(dovecot.imap_port, greeting, strip) as proxy:
        account = an_account(server=dovecot, port=proxy.port, security=Security.STARTTLS)
        async with closing(ImapMailbox(account, "INBOX")) as mailbox:
            with pytest.raises(Misconfigured, match="STARTTLS"):
                await mailbox.list()
    assert not any(
        b"LOGIN" in octets or b"AUTHENTICATE" in octets for side, _, octets in proxy.trace if side == "client"
    )


@pytest.mark.parametrize("injected", [b"* CAPABILITY IMAP4rev1\r\n", b"* CAPA", b"X1 OK done\r\n"])
async def test_octets_injected_before_tls_begins_are_refused(dovecot: Dovecot, injected: bytes) -> None:
    class Injecting(Rule):
        def hits(self, side: Side, line: int, octets: bytes) -> bool:
            self.replacement = octets + injected
            return super().hits(side, line, octets)

    rule = Injecting(side=Side.SERVER, fault=Fault.REPLACE, match=b"OK Begin TLS")
    async with FaultProxy(dovecot.imap_port, rule) as proxy:
        account = an_account(server=dovecot, port=proxy.port, security=Security.STARTTLS)
        async with closing(ImapMailbox(account, "INBOX")) as mailbox:
            with pytest.raises(Unavailable):
                await mailbox.list()
            assert rule.fired
            assert (await mailbox.list()).uidvalidity > 0


@pytest.mark.parametrize("greeting", [b"* PREAUTH you are in\r\n", b"* BYE too many\r\n", b"SSH-2.0-x\r\n"])
async def test_a_greeting_that_does_not_ask_who_we_are_is_refused(dovecot: Dovecot, greeting: bytes) -> None:
    rule = Rule(side=Side.SERVER, fault=Fault.REPLACE, line=1, replacement=greeting)
    async with (
        FaultProxy(dovecot.imap_port, rule) as proxy,
        closing(ImapMailbox(an_account(port=proxy.port), "INBOX")) as mailbox,
    ):
        with pytest.raises(Unavailable):
            await mailbox.list()
    assert not any(side is Side.CLIENT for side, _, _ in proxy.trace)


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
async def test_a_certificate_of_somebody_else_is_refused(dovecot: Dovecot, tmp_path: Path, security: Security) -> None:
    with Dovecot(tmp_path) as other:
        account = an_account(
            server=other,
            port=dovecot.imaps_port if security is Security.TLS else dovecot.imap_port,
            security=security,
        )
        async with closing(ImapMailbox(account, "INBOX")) as mailbox:
            with pytest.raises(Unavailable, match="certificate not trusted"):
                await mailbox.list()


async def test_a_folder_that_is_not_there_is_for_the_operator(dovecot: Dovecot) -> None:
    async with closing(ImapMailbox(an_account(port=dovecot.imap_port), "Missing")) as mailbox:
        with pytest.raises(Misconfigured):
            await mailbox.list()


async def test_nobody_listening_is_unavailable(dovecot: Dovecot) -> None:
    async with FaultProxy(dovecot.imap_port) as proxy:
        port = proxy.port
    async with closing(ImapMailbox(an_account(port=port), "INBOX")) as mailbox:
        with pytest.raises(Unavailable):
            await mailbox.list()


# Servers that can do less


async def test_without_move_the_mails_are_copied_and_only_they_are_expunged(tmp_path: Path) -> None:
    require("dovecot")
    with Dovecot(tmp_path, without=["MOVE", "IDLE", "SASL-IR"]) as server:
        place = ServerPlace(server, "In")
        mails = [a_mail("deleted-by-a-person"), a_mail("ours"), a_mail("other")]
        place.put(*mails)
        place.flag(1, r"\Deleted")
        async with closing(place.mailbox()) as mailbox:
            listing = await mailbox.list()
            await mailbox.move(listing, await mailbox.look(listing, listing.uids[:1]), "Processed")
            assert not await mailbox.wait(0.1)
        assert place.moved("Processed", "Processed") == [mails[1]]
        assert place.inbox() == [mails[0], mails[2]]


@pytest.mark.parametrize("authentication", Authentication)
async def test_a_server_without_initial_responses_is_answered_when_it_asks(
    tmp_path: Path, authentication: Authentication
) -> None:
    require("dovecot")
    with Dovecot(tmp_path, without=["SASL-IR"], users={"svc": "é"}) as server:
        secret = "é" if authentication is Authentication.LOGIN else server.token("svc")
        for given, outcome in ((secret, None), ("ü", Misconfigured)):
            account = an_account(port=server.imap_port, authentication=authentication, secret=lambda s=given: s)  # type: ignore[misc]  # mypy cannot infer a lambda's default
            async with closing(ImapMailbox(account, "INBOX")) as mailbox:
                if outcome is None:
                    assert (await mailbox.list()).uids == ()
                else:
                    with pytest.raises(outcome):
                        await mailbox.list()


async def test_without_move_and_uidplus_nothing_is_touched(tmp_path: Path) -> None:
    require("dovecot")
    with Dovecot(tmp_path, without=["MOVE", "UIDPLUS"]) as server:
        place = ServerPlace(server, "In")
        place.put(a_mail("one"))
        async with closing(place.mailbox()) as mailbox:
            listing = await mailbox.list()
            with pytest.raises(Misconfigured):
                await mailbox.move(listing, await mailbox.look(listing, listing.uids), "Processed")
            assert await mailbox.list() == listing
