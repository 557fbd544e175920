"""The command `mailflow`: its groups and its exit codes.

0 done · 65 something was set aside or refused · 75 temporary: a dependency is down, try again · 78 configuration.
"""

import sys
from pathlib import Path

import click

from mailflow import __version__
from mailflow.cli import (
    acting,
    alarms,
    attestation,
    audit,
    backup,
    canary,
    case,
    check,
    desk_client,
    dispatch,
    enrolment,
    enrolment_file,
    finding,
    init,
    jobs,
    master_key,
    outlook,
    person,
    queue,
    reconcile,
    reference,
    replay,
    restore,
    revocation,
    roles,
    rotation,
    run,
    selftest,
    senders,
    successors,  # noqa: F401  commands of `sender`
    switch,
    uniqueness,
    upgrade,
    verify,
)
from mailflow.cli.invocation import Exit, Invocation
from mailflow.cli.live import top
from mailflow.errors import MailflowError, Misconfigured, Unavailable


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    default=Path("mailflow.toml"),
    show_default=True,
    envvar="MAILFLOW_CONFIG",
    show_envvar=True,
    help="The settings file.",
)
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context, config: Path) -> None:
    """The register of social-housing requests, by signed mail.

    Exit codes: 0 done, 65 something was set aside, 75 try again later, 78 the configuration is wrong.

    Example: mailflow --config /etc/mailflow/mailflow.toml run --once
    """
    context.obj = Invocation(config)


for command in (
    init.init,
    check.check_config,
    run.run,
    run.ingest,
    verify.verify,
    audit.audit,
    reconcile.reconcile,
    replay.replay,
    case.case,
    queue.queue,
    queue.show,
    finding.find,
    *acting.COMMANDS,
    switch.stop,
    switch.resume,
    upgrade.upgrade,
    backup.backup,
    restore.restore,
    backup.drill,
    outlook.forecast,
    outlook.report,
    top.top,
    alarms.alarms,
    alarms.watch,
    canary.canary,
    selftest.selftest,
    jobs.jobs,
    revocation.revocation,
    dispatch.dispatch,
    attestation.attestation,
    reference.reference,
    person.person,
    master_key.master_key,
    uniqueness.duplicates,
    uniqueness.homonym,
    senders.sender,
    enrolment.desk,
    enrolment.mandate,
    enrolment_file.enrolment,
    rotation.service_keys_,
    roles.roles,
    desk_client.desk_client,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(call(sys.argv[1:]))


def call(arguments: list[str]) -> int:
    """Run one command line; its exit code. Errors of ours go to standard error, in one sentence."""
    try:
        code = cli.main(arguments, prog_name="mailflow", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.UsageError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return Exit.SET_ASIDE
    except Misconfigured as error:
        return _fail(f"configuration: {error}", Exit.CONFIGURATION)
    except Unavailable as error:
        return _fail(f"unavailable: {error}; try again later", Exit.TEMPORARY)
    except MailflowError as error:
        return _fail(str(error), Exit.SET_ASIDE)
    return code if isinstance(code, int) else Exit.DONE


def _fail(sentence: str, code: Exit) -> int:
    click.echo(f"mailflow: {sentence}", err=True)
    return code
