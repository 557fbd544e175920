"""Promises that no constraint can state: what is written once, what is never deleted, what is final.

Each is a trigger, spelled for both databases. A refused statement counts as an integrity error there.
"""

import sqlalchemy as sa

REFUSE_POSTGRESQL = """CREATE FUNCTION mailflow_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_NAME, CONSTRAINT = TG_NAME, ERRCODE = 'integrity_constraint_violation';
END $$"""

FROZEN = (
    ("intake", "raw"),
    ("file", "receipt"),
    ("file", "returned"),
    ("outbox", "payload"),
    ("outbox", "raw"),
    ("outbox", "body_digest"),
    ("attestation", "content"),
)
"""Columns that are written once. Afterwards they can only be emptied, by retention."""

CONSTANT = (
    ("intake", "digest"),
    ("file", "digest"),
    ("file", "name"),
    ("request", "number"),
    ("request", "id"),
    ("request", "desk"),
    ("request", "deposited_on"),
    ("outbox", "message_id"),
    ("attestation", "number"),
    ("attestation", "digest"),
    ("installation", "environment"),
    ("service_key", "fingerprint"),
    ("service_key", "use"),
    ("service_key", "active_from"),
    ("key_home", "store"),
)
"""Columns that keep for ever what they were inserted with."""

APPEND_ONLY = ("journal", "journal_link", "journal_head", "history", "evidence", "exhibit")
"""Tables whose rows are never changed."""

KEPT = (*APPEND_ONLY, "request", "file", "attestation", "installation", "issuing", "key_home", "service_key")
"""Tables whose rows are never deleted: numbers, names of decided files, what was issued, environment, keys as well."""


def statements(dialect: str) -> list[str]:
    """The DDL of every trigger for `dialect` (`sqlite` or `postgresql`)."""
    differs = "IS DISTINCT FROM" if dialect == "postgresql" else "IS NOT"
    written = [
        _trigger(dialect, f"{table}_{column}_is_written_once", f"UPDATE OF {column} ON {table}", when)
        for table, column in FROZEN
        for when in [f"OLD.{column} IS NOT NULL AND NEW.{column} IS NOT NULL AND NEW.{column} {differs} OLD.{column}"]
    ]
    constant = [
        _trigger(dialect, f"{table}_{column}_never_changes", f"UPDATE OF {column} ON {table}", when)
        for table, column in CONSTANT
        for when in [f"NEW.{column} {differs} OLD.{column}"]
    ]
    kept = [
        _trigger(dialect, f"{table}_is_kept", f"DELETE ON {table}", "OLD.settled" if table == "file" else "")
        for table in KEPT
    ]
    final = [
        *(_trigger(dialect, f"{table}_is_append_only", f"UPDATE ON {table}", "") for table in APPEND_ONLY),
        _trigger(
            dialect,
            "request_removed_is_final",
            "UPDATE OF state ON request",
            "OLD.state = 'removed' AND NEW.state <> OLD.state",
        ),
        _trigger(dialect, "file_settled_is_final", "UPDATE OF settled ON file", "OLD.settled AND NOT NEW.settled"),
        _trigger(
            dialect,
            "service_key_retired_is_final",
            "UPDATE OF retired_at ON service_key",
            f"OLD.retired_at IS NOT NULL AND NEW.retired_at {differs} OLD.retired_at",
        ),
        _trigger(
            dialect,
            "intake_is_decided_once",
            "UPDATE OF state ON intake",
            "OLD.state IN ('answered', 'same_delivery') AND NEW.state <> OLD.state",
        ),
        _trigger(
            dialect,
            "outbox_sent_is_final",
            "UPDATE OF state ON outbox",
            "OLD.state = 'sent' AND NEW.state NOT IN ('sent', 'held')"
            " AND NOT (NEW.state = 'composed' AND NEW.copies_before > OLD.copies_before)",
        ),
    ]
    truncated = [
        f"CREATE TRIGGER {table}_is_not_truncated BEFORE TRUNCATE ON {table} EXECUTE FUNCTION mailflow_refuse()"
        for table in KEPT
        if dialect == "postgresql"
    ]
    first = [REFUSE_POSTGRESQL] if dialect == "postgresql" else []
    return [*first, *written, *constant, *kept, *final, *truncated]


def _trigger(dialect: str, name: str, event: str, when: str) -> str:
    condition = f" WHEN ({when})" if when else ""
    action = (
        "EXECUTE FUNCTION mailflow_refuse()" if dialect == "postgresql" else f"BEGIN SELECT RAISE(ABORT, '{name}'); END"
    )
    return f"CREATE TRIGGER {name} BEFORE {event} FOR EACH ROW{condition} {action}"


def attach(metadata: sa.MetaData) -> None:
    """Have `metadata.create_all` make the triggers after the tables."""
    for dialect in ("sqlite", "postgresql"):
        for statement in statements(dialect):
            ddl = sa.DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]  # not typed
            sa.event.listen(metadata, "after_create", ddl)
