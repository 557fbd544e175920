"""`mailflow roles`: who may do what, for those who enforce it: the database, or sudo."""

from collections.abc import Iterator, Sequence

import click

from mailflow.cli import acting
from mailflow.cli.invocation import Exit, json_option, say, show_json
from mailflow.register.roles import PREFIX, Role, statements

SEE = (
    *("queue", "find", "show", "forecast", "report", "alarms list", "jobs list", "dispatch list", "reference show"),
    *("audit", "revocation list", "duplicates list", "sender list", "sender expiring", "desk list", "mandate list"),
    *("service-keys list", "sender successors"),
)
"""Commands of a reader, none of which changes or writes anything."""
ACT = (
    *(str(command.name) for command in acting.COMMANDS),
    "top",
    "stop",
    "resume",
    "alarms acknowledge",
    "homonym release",
)
"""What an operator may do beside. All else is an administrator's, who is root."""
PROGRAM = "/usr/bin/mailflow"
USER = "mailflow"


@click.command()
@click.option("--sudoers", is_flag=True, help="Rules for sudo instead, by groups of users on this machine.")
@click.option("--successor-at-once", is_flag=True, help="For trust.successor_at_once: the service enrols certificates.")
@json_option
def roles(sudoers: bool, successor_at_once: bool, as_json: bool) -> int:
    """Print SQL that makes the roles reader, operator, service and administrator of a register on PostgreSQL.

    The owner of the tables runs it, again after each upgrade; it takes away what is too much. Then people and the
    service are given a role: GRANT mailflow_operator TO anna.

    Example: mailflow roles | sudo -u postgres psql --single-transaction mailflow
    """
    lines = (
        list(rules()) if sudoers else [f"{statement};" for statement in statements(successor_at_once=successor_at_once)]
    )
    if as_json:
        show_json(lines)
    else:
        for line in lines:
            say(line)
    return Exit.DONE


def rules() -> Iterator[str]:
    """For a file in sudoers.d: readers and operators run their commands as the service's user, with its settings."""
    yield f"# Of the groups {PREFIX}reader and {PREFIX}operator; who acts stands in the journal."
    yield _alias("SEE", SEE)
    yield _alias("ACT", ACT)
    yield f"%{PREFIX}{Role.READER} ALL = ({USER}) NOPASSWD: MAILFLOW_SEE"
    yield f"%{PREFIX}{Role.OPERATOR} ALL = ({USER}) NOPASSWD: MAILFLOW_SEE, MAILFLOW_ACT"


def _alias(name: str, commands: Sequence[str]) -> str:
    """Each with and without more words; nothing can stand before the command, such as other settings."""
    lines = [f"{PROGRAM} {command}{more}" for command in commands for more in ("", " *")]
    return f"Cmnd_Alias MAILFLOW_{name} = " + ", \\\n    ".join(lines)
