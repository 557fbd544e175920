"""What the database promises by itself: plain SQL that would break a promise is refused, and says which."""

import re
from collections.abc import Iterable

import pytest

from mailflow.core.chain import BEFORE_ALL, KeptHead, Link
from mailflow.core.evidence import Evidence, Exhibit, ExhibitKind
from mailflow.register import ConstraintViolated, Register, chain, evidence, intake, journal, outbox
from tests.support.records import NOW, a_draft, execute, frozen, registered, rows, settlement

UNIQUE = "uq_|pk_|UNIQUE"
FOREIGN = "fk_|FOREIGN KEY"
A_REQUEST = """number, id, territory, desk, sender, state, deposited_on, expires_on, registered_at, revision, dated_at,
    file_record, position"""
THE_SAME = "state, deposited_on, expires_on, registered_at, revision, dated_at, file_record"
AN_ENTRY = "number, revision, territory, sequence, operation, state, expires_on, dated_at, at"
A_MAIL = "account, mailbox, uidvalidity, uid, size_bytes, received_at, taken_at, state"
AN_ORDER = "kind, key, part, message_id, envelope_id, recipient, received_at, dated_at, queued_at, state, next_at"


@pytest.fixture
async def used(register: Register) -> Register:
    """A register with one of everything, and two outgoing mails: one with octets, one without."""
    await registered(register)
    (mail,) = await rows(register, "SELECT id FROM intake")
    await frozen(register)
    async with register.begin() as tx:
        await journal.append(tx, [journal.Entry(kind="something")], NOW)
        await outbox.queue(tx, [a_draft(mail.id, key="of the mail")], NOW)
        await intake.settle(tx, "me", [settlement(mail.id)], NOW)
        await chain.append(tx, [Link(1, BEFORE_ALL, BEFORE_ALL)])
        await chain.keep_head(tx, KeptHead(number=1, day="2026-11-25", signed=b"signed"))
        shown = Exhibit(ExhibitKind.BASIS, b"{}")
        what = {"basis": shown.digest, "checklist": shown.digest, "signature": b"signed"}
        await evidence.keep(tx, [Evidence(intake=mail.id, received_at=NOW, judged_at=NOW, **what)], [shown, shown])
    return register


async def _refused(register: Register, promises: Iterable[tuple[str, str]], **values: object) -> None:
    """Each statement breaks its promise, and changes nothing."""
    answers = [
        (statement, promise, await _answer(register, statement, **(values if ":" in statement else {})))
        for statement, promise in promises
    ]
    assert [answer for answer in answers if not re.search(answer[1], answer[2])] == []


async def _answer(register: Register, statement: str, **values: object) -> str:
    try:
        await execute(register, statement, **values)
    except ConstraintViolated as error:
        return str(error)
    return "it was done"


async def test_what_is_there_once(used: Register) -> None:
    unsent = "recipient, received_at, dated_at, queued_at, state, next_at FROM outbox WHERE raw IS NULL"
    again = (
        f"""INSERT INTO intake ({A_MAIL})
            SELECT account, mailbox, uidvalidity, uid, 1, received_at, taken_at, 'held' FROM intake""",
        """INSERT INTO file (record, desk, name, digest, intake_id)
           SELECT 'f9', desk, name, 'x', intake_id FROM file""",
        f"""INSERT INTO request ({A_REQUEST})
            SELECT number, 'r9', territory, desk, sender, {THE_SAME}, 9 FROM request""",
        f"""INSERT INTO history ({AN_ENTRY})
            SELECT number, revision, territory, 9, operation, state, expires_on, dated_at, at FROM history""",
        f"""INSERT INTO history ({AN_ENTRY})
            SELECT number, 9, territory, sequence, operation, state, expires_on, dated_at, at FROM history""",
        """INSERT INTO request_reference (desk, token, digest, request_id)
           SELECT desk, token, 'x', request_id FROM request_reference""",
        """INSERT INTO active_identity (territory, token, ordinal, request_id)
           SELECT territory, token, ordinal, request_id FROM active_identity""",
        """INSERT INTO active_identity (territory, token, ordinal, nir_token, request_id)
           VALUES ('059', 'a', 0, 'nir', 'r1'), ('059', 'b', 0, 'nir', 'r1')""",
        f"INSERT INTO outbox ({AN_ORDER}) SELECT kind, key, part, 'x', 'x', {unsent}",
        f"INSERT INTO outbox ({AN_ORDER}) SELECT kind, 'x', part, message_id, 'x', {unsent}",
        f"INSERT INTO outbox ({AN_ORDER}) SELECT kind, 'x', part, 'x', envelope_id, {unsent}",
        "INSERT INTO counter VALUES ('059', '1126', 1), ('059', '1126', 2)",
    )
    await _refused(used, [(statement, UNIQUE) for statement in again])


async def test_what_cannot_be(used: Register) -> None:
    await _refused(
        used,
        [
            ("UPDATE intake SET state = 'lost'", "intake_state|intake_is_decided_once"),
            ("UPDATE outbox SET state = 'lost'", "ck_outbox_state|ck_outbox_due"),
            ("UPDATE request SET state = 'lost'", "ck_request_state|ck_request_ended_on"),
            ("UPDATE intake SET next_at = taken_at", "ck_intake_due"),
            ("UPDATE intake SET lease_owner = 'me'", "ck_intake_lease_whole"),
            ("UPDATE intake SET lease_owner = 'me', lease_until = taken_at", "ck_intake_lease_only_while_due"),
            ("UPDATE intake SET attempts = -1", "ck_intake_attempts"),
            ("UPDATE outbox SET attempts = -1", "ck_outbox_attempts"),
            ("UPDATE outbox SET state = 'queued' WHERE raw IS NOT NULL", "ck_outbox_queued_has_no_bytes"),
            ("UPDATE outbox SET state = 'composed' WHERE raw IS NULL", "ck_outbox_frozen_before_sent"),
            ("UPDATE outbox SET body_digest = NULL WHERE raw IS NOT NULL", "ck_outbox_digest_of_bytes"),
            ("UPDATE outbox SET state = 'sent', next_at = NULL", "ck_outbox_sent_at"),
            ("UPDATE outbox SET next_at = NULL", "ck_outbox_due"),
            ("UPDATE request SET territory = '062'", "ck_request_territory"),
            ("UPDATE request SET motive = 'RADABA'", "ck_request_motive"),
            ("UPDATE request SET ended_on = expires_on", "ck_request_ended_on"),
            (
                f"""INSERT INTO history ({AN_ENTRY})
                    SELECT number, 9, territory, 9, 'XYZ', state, expires_on, dated_at, at FROM history""",
                "ck_history_operation",
            ),
            ("INSERT INTO counter VALUES ('059', '1226', 1000000)", "ck_counter_last"),
            ("INSERT INTO journal_link (id, link) VALUES (9, 'x')", "ck_journal_link_entry_or_gap"),
            ("INSERT INTO trust_generation (id, generation) VALUES (2, 1)", "ck_trust_generation_one_row"),
            ("INSERT INTO desk VALUES ('5912', 'Desk', '', 'active')", "ck_desk_code"),
            ("INSERT INTO desk VALUES ('5912z', 'Desk', '', 'active')", "ck_desk_code"),
            (
                "INSERT INTO desk VALUES ('59123', 'Desk', '', 'asleep')",
                "ck_desk_standing",
            ),
            (
                """INSERT INTO sender (code, name, standing, answer_address, legacy_encryption)
                   VALUES ('acme', '', 'asleep', '', false)""",
                "ck_sender_standing",
            ),
            ("INSERT INTO sender_address VALUES ('nobody', 'a@b.test')", FOREIGN),
            ("INSERT INTO sender_address VALUES ('nobody', 'A@b.test')", "lower_case"),
            ("UPDATE file SET desk = 'abc'", "ck_file_desk"),
            ("UPDATE active_identity SET request_id = 'nobody'", FOREIGN),
            ("UPDATE active_identity SET ordinal = -1", "ck_active_identity_ordinal"),
            ("UPDATE request_reference SET request_id = 'nobody'", FOREIGN),
            ("UPDATE request SET file_record = 'none'", FOREIGN),
            ("DELETE FROM intake", FOREIGN),
        ],
    )


async def test_what_never_changes(used: Register) -> None:
    await execute(used, "UPDATE file SET returned = :b", b=b"frozen")
    await _refused(
        used,
        [
            ("UPDATE intake SET raw = :b", "intake_raw_is_written_once"),
            ("UPDATE file SET receipt = :b", "file_receipt_is_written_once"),
            ("UPDATE file SET returned = :b", "file_returned_is_written_once"),
            ("UPDATE outbox SET payload = :b", "outbox_payload_is_written_once"),
            ("UPDATE outbox SET raw = :b WHERE raw IS NOT NULL", "outbox_raw_is_written_once"),
            ("UPDATE outbox SET body_digest = 'x' WHERE raw IS NOT NULL", "outbox_body_digest_is_written_once"),
            ("UPDATE intake SET digest = 'x'", "intake_digest_never_changes"),
            ("UPDATE file SET digest = 'x'", "file_digest_never_changes"),
            ("UPDATE file SET name = 'x.xml'", "file_name_never_changes"),
            ("UPDATE request SET number = '059112600000259123'", "request_number_never_changes"),
            ("UPDATE request SET id = 'x'", "request_id_never_changes"),
            ("UPDATE outbox SET message_id = 'x'", "outbox_message_id_never_changes"),
            ("UPDATE request SET desk = '59777'", "request_desk_never_changes"),
            ("UPDATE request SET deposited_on = expires_on", "request_deposited_on_never_changes"),
            ("UPDATE history SET content_before = NULL", "history_is_append_only"),
            ("DELETE FROM history", "history_is_kept"),
            ("UPDATE journal SET kind = 'x'", "journal_is_append_only"),
            ("DELETE FROM journal", "journal_is_kept"),
            ("UPDATE journal_link SET link = digest", "journal_link_is_append_only"),
            ("DELETE FROM journal_link", "journal_link_is_kept"),
            ("UPDATE journal_head SET day = 'x'", "journal_head_is_append_only"),
            ("DELETE FROM journal_head", "journal_head_is_kept"),
            ("UPDATE evidence SET signature = basis", "evidence_is_append_only"),
            ("DELETE FROM evidence", "evidence_is_kept"),
            ("UPDATE exhibit SET content = digest", "exhibit_is_append_only"),
            ("DELETE FROM exhibit", "exhibit_is_kept"),
            ("DELETE FROM request", "request_is_kept"),
            ("DELETE FROM file", "file_is_kept"),
            ("UPDATE file SET settled = false", "file_settled_is_final"),
            ("UPDATE intake SET state = 'received', next_at = taken_at", "intake_is_decided_once"),
        ],
        b=b"other",
    )


async def test_a_mail_that_was_sent_is_not_sent_again(used: Register) -> None:
    await execute(used, "UPDATE outbox SET state = 'sent', sent_at = dated_at, next_at = NULL WHERE raw IS NOT NULL")
    again = "UPDATE outbox SET state = 'composed', next_at = dated_at WHERE state = 'sent'"
    await _refused(used, [(again, "outbox_sent_is_final")])
    queued = "UPDATE outbox SET state = 'withdrawn', copies_before = 1 WHERE state = 'sent'"
    await _refused(used, [(queued, "outbox_sent_is_final")])
    ordered = "UPDATE outbox SET state = 'composed', next_at = dated_at, copies_before = 1 WHERE state = 'sent'"
    await execute(used, ordered)


async def test_a_removed_request_stays_removed(used: Register) -> None:
    await execute(used, "UPDATE request SET state = 'removed', ended_on = expires_on")
    again = "UPDATE request SET state = 'active', ended_on = NULL"
    await _refused(used, [(again, "request_removed_is_final")])


async def test_the_grammar_of_numbers(used: Register) -> None:
    statement = f"""
        INSERT INTO request ({A_REQUEST})
        SELECT :number, 'r2', substr(:number, 1, 3), desk, sender, {THE_SAME}, 7
        FROM request
    """
    await execute(used, statement, number="02A1226000001ZAZ09")
    for number in (
        "",
        "05911260000015912",
        "0591126000001591234",
        "059002600000159123",
        "059132600000159123",
        "05C112600000159123",
        "059112600000159a23",
        "0591126 0000159123",
        "059112600000159123\n",
    ):
        await _refused(used, [(statement, "ck_request_number")], number=number)


async def test_the_grammar_of_file_names(used: Register) -> None:
    statement = """
        INSERT INTO file (record, desk, name, digest, intake_id) SELECT 'f2', desk, :name, digest, intake_id FROM file
    """
    for name in ("DEM 1.xml", "", "é.xml", "a" * 65, "a/b.xml", "a.xml\n"):
        await _refused(used, [(statement, "ck_file_name")], name=name)


async def test_retention_may_empty_what_is_written_once(used: Register) -> None:
    await execute(used, "UPDATE intake SET raw = NULL")
    await execute(used, "UPDATE file SET receipt = NULL")
    await execute(used, "UPDATE outbox SET payload = NULL, raw = NULL, state = 'held', next_at = NULL")


async def test_no_value_shows_in_the_error(used: Register) -> None:
    with pytest.raises(ConstraintViolated, match="ck_desk_code") as caught:
        await execute(used, "INSERT INTO desk VALUES (:code, 'Desk', '', 'active')", code="Durand")
    assert "Durand" not in str(caught.value)
