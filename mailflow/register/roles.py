"""Who may do what with a register on PostgreSQL: roles of the database, which people and the service are given.

Nothing here asks who somebody is: the database refuses. On SQLite whoever may write the file may do everything.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

from mailflow.register.key_store import SCHEMA
from mailflow.register.key_tables import content_key, master_key
from mailflow.register.tables import metadata

PREFIX = "mailflow_"


class Role(StrEnum):
    """Each may do what those before it may; the administrator also what the service may."""

    READER = "reader"
    """Sees: queues, journal, states. What is sealed stays sealed without the key files."""
    OPERATOR = "operator"
    """Acts on mails and outgoing mails, acknowledges alarms, releases homonyms."""
    SERVICE = "service"
    """Takes in, registers, answers, does the jobs; enrols nobody."""
    ADMINISTRATOR = "administrator"
    """Enrols senders, desks and mandates, and loads reference data. Tables are made by their owner alone."""


ENROLMENT = (
    *("sender", "sender_address", "certificate", "desk", "mandate", "service_key", "trust_generation"),
    *("landlord", "commission", "reference_edition"),
)
"""What only an administrator changes."""
FOR_EVER = ("journal", "journal_link", "journal_head", "history", "evidence", "exhibit")
"""What is only added to."""
OWNERS = ("installation", "key_home")
"""What only the owner of the tables changes."""
ACTS: Mapping[str, tuple[str, ...]] = {
    "intake": (
        *("state", "reason", "detail", "sender", "settled_at", "late_at", "attempts", "solo", "next_at"),
        *("lease_owner", "lease_until"),
    ),
    "outbox": ("state", "reason", "attempts", "next_at", "copies_before", "round", "lease_owner", "lease_until"),
}
"""The columns that acts change: no octets, no addressee."""
KEYS = (content_key, master_key)
"""Of the key store, where it is in the same database. In another one the service needs the same."""
SCHEMAS = ("public", SCHEMA)


def statements(*, successor_at_once: bool = False) -> Iterator[str]:
    """SQL that makes the roles, or brings them to what they are now; to be run by the owner of the tables.

    With `successor_at_once` the service may enrol certificates, which it otherwise may not.
    """
    for role in Role:
        name = PREFIX + role
        yield (f"DO $$ BEGIN CREATE ROLE {name} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        for schema in SCHEMAS:
            yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {name}"
        yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {name}"
    for role, others in (
        (Role.OPERATOR, [Role.READER]),
        (Role.SERVICE, [Role.OPERATOR]),
        (Role.ADMINISTRATOR, [Role.SERVICE]),
    ):
        yield f"GRANT {', '.join(PREFIX + other for other in others)} TO {PREFIX}{role}"
    yield "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    for role in Role:
        for rights, table in granted(role):
            yield f"GRANT {rights} ON {table} TO {PREFIX}{role}"
    if successor_at_once:
        yield f"GRANT INSERT ON certificate TO {PREFIX}{Role.SERVICE}"
        yield f"GRANT UPDATE (generation) ON trust_generation TO {PREFIX}{Role.SERVICE}"


def granted(role: Role) -> Iterator[tuple[str, str]]:
    """What a role may do beyond those before it, as rights and table."""
    match role:
        case Role.READER:
            for schema in SCHEMAS:
                yield "SELECT", f"ALL TABLES IN SCHEMA {schema}"
        case Role.OPERATOR:
            for table, columns in ACTS.items():
                yield f"UPDATE ({', '.join(columns)})", table
            yield "INSERT", "outbox, journal, homonym_release"
            yield "UPDATE", "alarm, issuing"
            yield "DELETE", "alarm_notice"
        case Role.SERVICE:
            theirs = [name for name in sorted(metadata.tables) if name not in (*ENROLMENT, *FOR_EVER, *OWNERS)]
            yield "INSERT, UPDATE, DELETE", ", ".join(theirs)
            yield "INSERT", ", ".join(FOR_EVER)
            yield "INSERT, UPDATE, DELETE", ", ".join(f"{SCHEMA}.{table.name}" for table in KEYS)
            yield "UPDATE (revocations)", "trust_generation"
        case Role.ADMINISTRATOR:
            yield "INSERT, UPDATE, DELETE", ", ".join(ENROLMENT)
            yield "UPDATE", "SEQUENCE intake_id_seq"
