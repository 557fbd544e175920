"""The files of the sample exchanges: those that are sent, and those of the answers."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

from mailflow.core.inquiry import QuestionReceipt
from mailflow.core.model import Door, Environment, FileReceipt, Outcome, Refused, Request, SenderCode
from mailflow.wire.acknowledgement import write_receipt, write_reception
from mailflow.wire.names import return_name
from mailflow.wire.questions import read_questions, write_answers
from mailflow.wire.reader import FileLimits, read_file
from mailflow.wire.samples.dispatching import dispatch_files, notice_files
from mailflow.wire.samples.exchange import Exchange, FileSample
from mailflow.wire.samples.story import EXCHANGES
from mailflow.wire.writer import write_return

SENDER = SenderCode("logiciel")
CHANGING = "0" * 64
"""Stands for a digest that depends on keys."""
DEADLINE = timedelta(hours=12)
_LIMITS = FileLimits(file_bytes_max=1 << 20, request_bytes_max=1 << 18, requests_max=10, nodes_max=10_000)


def sample_files() -> dict[str, bytes]:
    """Every file, by its path under the folder of samples."""
    files: dict[str, bytes] = {}
    for number, exchange in enumerate(EXCHANGES, start=1):
        there = {**sent(exchange), **answered(exchange, number)}
        files |= {f"{exchange.folder}/{name}": content for name, content in there.items()}
    files["accuse-technique/accuse-technique-1.xml"] = _reception(EXCHANGES[0])
    later = {"dispatching": dispatch_files(), "preavis": notice_files()}
    return files | {f"{folder}/{name}": content for folder, there in later.items() for name, content in there.items()}


def sent(exchange: Exchange) -> dict[str, bytes]:
    """The files of the mail, by name."""
    return {exchange.name(file): file.content(exchange.made_at) for file in exchange.files}


def answered(exchange: Exchange, number: int) -> dict[str, bytes]:
    """The files of the answer, by name; `number` is that of the mail."""
    files: dict[str, bytes] = {}
    receipts: list[FileReceipt] = []
    asked: list[QuestionReceipt] = []
    for file in exchange.files:
        name, content = exchange.name(file), file.content(exchange.made_at)
        if isinstance(file, FileSample):
            receipts.append(receipt := _receipt(exchange, file))
            files[return_name(name)] = write_return(receipt, environment=Environment.SCHOOL)
        else:
            questions = read_questions(name, content, limits=_LIMITS, now=exchange.received_at)
            told = QuestionReceipt(file=questions, answered_at=exchange.decided_at, answers=file.answers)
            asked.append(told)
            files[return_name(name)] = write_answers(told, environment=Environment.SCHOOL)
    files[f"accuse-{number}.xml"] = _acknowledgement(exchange, number, receipts, asked)
    return files


def _receipt(exchange: Exchange, sample: FileSample) -> FileReceipt:
    content = sample.content(exchange.made_at)
    file = read_file(exchange.name(sample), content, limits=_LIMITS, received_at=exchange.received_at)
    return FileReceipt(
        file=file,
        record="1",
        decided_at=exchange.decided_at,
        anomalies=file.anomalies,
        outcomes=tuple(map(_outcome, file.requests, sample.outcomes)),
    )


def _outcome(request: Request, outcome: Outcome | None) -> Outcome:
    """With what reading found of the request."""
    if outcome is None:
        return Refused(anomalies=request.anomalies)
    return replace(outcome, anomalies=request.anomalies + outcome.anomalies)


def _acknowledgement(
    exchange: Exchange, number: int, receipts: Sequence[FileReceipt], asked: Sequence[QuestionReceipt]
) -> bytes:
    return write_receipt(
        intake=str(number),
        environment=Environment.SCHOOL,
        door=Door.MAIL,
        sender=SENDER,
        signer=CHANGING,
        content_digest=CHANGING,
        received_at=exchange.received_at,
        decided_at=exchange.decided_at,
        anomalies=(),
        files=receipts,
        questions=asked,
    )


def _reception(exchange: Exchange) -> bytes:
    """What goes first when the answer to that exchange is late."""
    return write_reception(
        intake="1",
        environment=Environment.SCHOOL,
        door=Door.MAIL,
        sender=SENDER,
        signer=CHANGING,
        content_digest=CHANGING,
        received_at=exchange.received_at,
        deadline_at=exchange.received_at + DEADLINE,
        files=[(name, sha256(content).hexdigest()) for name, content in sent(exchange).items()],
    )
