"""The settings file is read strictly, and everything wrong in it is said at once."""

from pathlib import Path

import pytest

from mailflow.app.parts import trust_files
from mailflow.core.model import Environment
from mailflow.errors import Misconfigured
from mailflow.mail.trust import HOUSE_POLICY, PathPolicy
from mailflow.settings import Security, file_faults, load, read_secret
from mailflow.settings.sample import sample


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """The sample with some lines changed."""
    text = sample()
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    path = folder / "mailflow.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaints(path: Path) -> str:
    with pytest.raises(Misconfigured) as caught:
        load(path)
    return str(caught.value)


def test_the_sample_is_a_valid_file(tmp_path: Path) -> None:
    settings = load(written(tmp_path))
    assert settings.environment is Environment.SCHOOL
    assert settings.limits.mail_bytes_max == 25 * 1024 * 1024


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = load(written(tmp_path))
    assert settings.keys.signing_key_file == tmp_path / "keys/signing.key"
    assert settings.trust.crls_dir == tmp_path / "trust/crls"
    assert settings.register_.url == f"sqlite:///{tmp_path}/mailflow.db"


def test_a_credential_of_systemd_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, ('secret_file = "secrets/mailbox"', 'secret_file = "%d/mailbox"'))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/mailflow")
    assert load(path).mailbox.secret_file == Path("/run/credentials/mailflow/mailbox")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert load(path).mailbox.secret_file == tmp_path / "secrets/mailbox"  # what systemd would have passed on


def test_everything_wrong_is_said_at_once_with_the_right_form(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        ('environment = "ecole"', 'environment = "test"'),
        ("deadline_hours = 12", 'deadline_hours = "12"'),
        ("poll_seconds", "pol_seconds"),
        ('host = "smtp.example.org"', ""),
        ('address = "audit@example.org"', 'address = "Audit <audit@example.org>"'),
        ("[trust]", "[trusted]"),
    )
    text = complaints(path)
    assert "environment: should be 'production' or 'ecole'" in text
    assert "service.deadline_hours: should be a valid integer" in text
    assert "mailbox.pol_seconds: there is no such setting; did you mean poll_seconds?" in text
    assert 'Example: host = "smtp.example.org"' in text
    assert "audit.address: should be a bare mail address" in text
    assert "trusted: there is no such setting; did you mean trust?" in text
    assert len(text.splitlines()) == 7


def test_what_is_demanded_of_a_path_is_read_and_handed_on(tmp_path: Path) -> None:
    policies = ("certificate_policies = []", 'certificate_policies = ["1.2.250.1.1"]')
    usage = ("mail_usage_required = false", "mail_usage_required = true")
    assert trust_files(load(written(tmp_path))).policy == HOUSE_POLICY
    assert trust_files(load(written(tmp_path, policies, usage))).policy == PathPolicy(
        policies=frozenset({"1.2.250.1.1"}), explicit=True, mail_usage_required=True
    )
    assert "certificate_policies" in complaints(written(tmp_path, (policies[0], 'certificate_policies = ["1.x"]')))


def test_a_missing_table_is_told_setting_by_setting(tmp_path: Path) -> None:
    path = tmp_path / "mailflow.toml"
    path.write_text("")
    text = complaints(path)
    for name in (
        "environment",
        "service.name",
        "mailbox.host",
        "audit.address",
        "keys.decryption",
        "smtp.port",
    ):
        assert f"\n  {name}: is missing -- " in text
    assert "audit.host" not in text


def test_groups_of_senders_have_rules_of_their_own(tmp_path: Path) -> None:
    fingerprint = "AB:" * 31 + "ab"
    group = f'[[trust.groups]]\nsenders = ["ville", "agglo"]\nissuers = ["{fingerprint}"]\n'
    path = written(tmp_path, ("mail_usage_required = false", "mail_usage_required = true"))
    path.write_text(f"{path.read_text()}\n{group}")
    files = trust_files(load(path))
    own = PathPolicy(issuers=frozenset({"ab" * 32}), mail_usage_required=True)
    assert files.policies == {"ville": own, "agglo": own}
    assert files.policy == PathPolicy(mail_usage_required=True)
    path.write_text(f"{path.read_text()}\n{group}")
    assert "each sender should be in one of trust.groups at most" in complaints(path)
    path.write_text(path.read_text().replace(fingerprint, "ab"))
    assert "trust.groups[0].issuers[0]: should be a SHA-256 fingerprint" in complaints(path)


@pytest.mark.parametrize("content", [b"a = ", b"\xff"])
def test_what_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mailflow.toml"
    path.write_bytes(content)
    assert "is not a TOML file" in complaints(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert "cannot be read: No such file or directory" in complaints(tmp_path / "none.toml")


def test_the_audit_mailbox_is_where_the_mailbox_is_unless_it_says_otherwise(tmp_path: Path) -> None:
    elsewhere = (('host = "imap.example.org"', 'host = "in.example.org"'), ("port = 993", "port = 994"))
    settings = load(written(tmp_path, *elsewhere))
    assert (settings.audit.host, settings.audit.port) == ("in.example.org", 994)
    apart = ('user = "audit"', 'user = "audit"\nhost = "127.0.0.1"\nsecurity = "plain"')
    settings = load(written(tmp_path, *elsewhere, apart))
    assert (settings.audit.host, settings.audit.security) == ("127.0.0.1", Security.PLAIN)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            ('security = "tls"', 'security = "plain"'),
            "mailbox: security `plain` would send the secret in clear",
        ),
        (('# user = "demandes"', 'user = "demandes"'), "smtp: user and secret_file should be given together"),
        (("lease_seconds = 600", "lease_seconds = 30"), "lease_seconds should be more than task_seconds_max"),
        (
            ("task_memory_bytes_max = 1073741824", "task_memory_bytes_max = 99"),
            "should be greater than or equal to 268435456",
        ),
        (('processed = "Processed"', 'processed = "INBOX"'), "should be three folders"),
        (('processed = "Processed"', 'processed = "Inbox"'), "should be three folders"),
        (('"audit@example.org"', '"demandes@example.org"'), "should be two mailboxes"),
        (('user = "audit"', 'user = "demandes"'), "audit should be a folder of its own"),
        (("deadline_hours = 12", "deadline_hours = 2"), "should be less than the deadline"),
        (
            ("audit_wait_minutes = 75", "audit_wait_minutes = 20"),
            "worker.audit_wait_minutes should be more than twice smtp.data_timeout_seconds and 20 seconds",
        ),
        (
            ("turn_seconds_max = 3600", "turn_seconds_max = 2480"),
            "worker.turn_seconds_max should be more than 2480, the longest turn that sends",
        ),
        (("lease_seconds = 600", "lease_seconds = 1200"), "worker.turn_seconds_max should be more than 3680"),
        (("sqlite:///mailflow.db", "postgresql://me:secret@db/mailflow"), "should hold no password"),
        (("sqlite:///mailflow.db", "postgresql://me@db/mailflow?password=secret"), "should hold no password"),
        (("sqlite:///mailflow.db", "sqlite:///:memory:"), "should be sqlite:///FILE or postgresql://"),
        (("mail_to = []", 'mail_to = ["demandes@example.org"]'), "alerts should go to persons"),
        (("escalation_mail_to = []", 'escalation_mail_to = ["chef@example.org"]'), "should follow mail_to"),
        (("sqlite:///mailflow.db", "mysql://db/mailflow"), "should be sqlite:///FILE or postgresql://"),
    ],
)
def test_what_cannot_be_together_is_refused(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    text = complaints(written(tmp_path, change))
    assert complaint in text
    assert "secret@db" not in text


def test_mailboxes_and_inboxes_have_one_name_however_they_are_written(tmp_path: Path) -> None:
    """The register knows a mail by them: under another name it would be a new one."""
    spelt = load(written(tmp_path, ('folder = "INBOX"', 'folder = "Inbox"'), ('host = "imap.', 'host = "IMAP.')))
    assert (spelt.mailbox, spelt.audit) == (load(written(tmp_path)).mailbox, load(written(tmp_path)).audit)


def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("open sesame\n")
    assert read_secret(path) == "open sesame"
    path.write_text("\n")
    with pytest.raises(Misconfigured, match="first line"):
        read_secret(path)
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_secret(tmp_path / "none")


def test_files_that_are_missing_or_open_to_others_are_named(tmp_path: Path) -> None:
    settings = load(written(tmp_path))
    assert any(fault.startswith("keys.decryption[0].key_file: there is no file") for fault in file_faults(settings))
    assert any(fault.startswith("trust.anchors_dir: there is no folder") for fault in file_faults(settings))
    settings.keys.signing_key_file.parent.mkdir(parents=True)
    settings.keys.signing_key_file.write_text("x")
    settings.keys.signing_key_file.chmod(0o644)
    assert any(fault.startswith("keys.signing_key_file: others may read") for fault in file_faults(settings))
    settings.keys.signing_key_file.chmod(0o600)
    assert not any(fault.startswith("keys.signing_key_file") for fault in file_faults(settings))
