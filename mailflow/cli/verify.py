"""`mailflow verify`: the whole checklist for one mail, step by step, or past acceptances from their evidence.

Nothing is changed by either; who takes signed contents out is on record.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from mailflow import app
from mailflow.cli.archive import Wanted, archive_options, verify_archive
from mailflow.cli.invocation import Exit, Invocation, Row, json_option, say, show_json, wait_for
from mailflow.cli.mail_files import read_mails
from mailflow.core.anomalies import Anomaly, catalogue
from mailflow.core.inquiry import Inquiry
from mailflow.core.model import Submission
from mailflow.mail.judge import Unjudged
from mailflow.mail.model import Accepted, Rejected, Step, Undetermined, Verdict


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), required=False)
@archive_options
@click.option(
    "--received-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S"]),
    help="When the mail arrived, in UTC; by default when the file was written.",
)
@json_option
@click.pass_obj
def verify(
    invocation: Invocation, file: Path | None, received_at: datetime | None, which: Wanted | None, as_json: bool
) -> int:
    """Say of FILE (a mail as it arrived) which steps of the verification it passes, and what its requests lack.

    Nothing is registered and nobody is answered. Exit code 65 when the mail, or anything in it, would be refused.

    With --archive: verify again, from the evidence in the register alone, mails that were accepted: signature, path,
    revocation and verdict as of then, and the signed content while it is kept. Exit code 65 when anything is wrong;
    each failure is named. That the journal is whole is for `mailflow audit`.

    Example: mailflow verify doubtful.eml; mailflow verify --archive --from 2026-11-01 --to 2026-12-01
    """
    if which is not None:
        if file is not None or received_at is not None:
            raise click.UsageError("--archive looks at what was accepted, not at a file")
        return verify_archive(invocation, which, as_json=as_json)
    if file is None:
        raise click.UsageError("FILE, or --archive")
    mails = read_mails([file], app.now())
    if len(mails) != 1:
        raise click.ClickException(f"{file} holds {len(mails)} mails; this command looks at one")
    moment = received_at.replace(tzinfo=UTC) if received_at else mails[0].received_at
    unjudged = Unjudged(intake=0, raw=mails[0].raw or b"", received_at=moment)
    verdict, steps = wait_for(_explain(invocation, unjudged))
    facts = [_fact(anomaly) for anomaly in _anomalies(verdict)]
    if as_json:
        show_json({"verdict": _word(verdict), "steps": [asdict(step) for step in steps], "anomalies": facts})
    else:
        _tell(steps, verdict, facts)
    return Exit.DONE if isinstance(verdict, Accepted) and not facts else Exit.SET_ASIDE


async def _explain(invocation: Invocation, mail: Unjudged) -> tuple[Verdict, tuple[Step, ...]]:
    async with app.register_of(invocation.settings) as register:
        judge = await app.judge_of(invocation.settings, register)
    return judge.explain(mail, app.now())


def _anomalies(verdict: Verdict) -> tuple[Anomaly, ...]:
    match verdict:
        case Accepted(submission=submission, inquiry=inquiry, anomalies=anomalies):
            return (*anomalies, *_in_files(submission), *_in_questions(inquiry))
        case Rejected(anomalies=anomalies):
            return anomalies
        case Undetermined(anomaly=anomaly):
            return (anomaly,)


def _in_files(submission: Submission) -> tuple[Anomaly, ...]:
    return tuple(
        anomaly
        for file in submission.files
        for anomaly in (*file.anomalies, *(a for request in file.requests for a in request.anomalies))
    )


def _in_questions(inquiry: Inquiry) -> tuple[Anomaly, ...]:
    return tuple(
        anomaly
        for file in inquiry.files
        for anomaly in (*file.anomalies, *(a for question in file.questions for a in question.anomalies))
    )


def _fact(anomaly: Anomaly) -> Row:
    entry = catalogue()[anomaly.code]
    return {
        "code": anomaly.code.value,
        "severity": entry.severity.value,
        "path": anomaly.path,
        "sentence": entry.english,
        "remedy": entry.remedy_english,
    }


def _word(verdict: Verdict) -> str:
    match verdict:
        case Accepted():
            return "accepted"
        case Rejected(reply=None):
            return "set aside, never answered"
        case Rejected():
            return "refused, answered"
        case Undetermined():
            return "undetermined, judged again later"


def _tell(steps: tuple[Step, ...], verdict: Verdict, facts: list[Row]) -> None:
    for step in steps:
        say(f"{'ok  ' if step.passed else 'FAIL'}  {step.name:<20} {step.detail}".rstrip())
    say(f"\nThe mail: {_word(verdict)}.")
    for fact in facts:
        say(f"{fact['code']} ({fact['severity']}) {fact['path']}\n  {fact['sentence']} {fact['remedy']}")
