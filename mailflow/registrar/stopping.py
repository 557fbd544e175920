"""What goes on while no numbers are given: everything that surely needs none."""

from collections.abc import Sequence

from mailflow.core.model import CREATIONS, RequestFile, Submission
from mailflow.register import Transaction, files


async def need_numbers(tx: Transaction, submissions: Sequence[Submission]) -> list[bool]:
    """Of each submission whether something in it may be given a number.

    A file that was decided before is told again. Rights and persons are not looked into: what would be refused for
    them waits too, which costs it time and nothing else.
    """
    creations = [[file for file in one.files if _may_create(file)] for one in submissions]
    names = {(file.desk, file.name) for some in creations for file in some}
    known = await files.by_name(tx, names) if names else {}
    decided = {(desk, name, kept.digest) for (desk, name), kept in known.items()}
    return [any((file.desk, file.name, file.digest) not in decided for file in some) for some in creations]


def _may_create(file: RequestFile) -> bool:
    if file.operation not in CREATIONS or any(anomaly.blocks for anomaly in file.anomalies):
        return False
    return any(not any(anomaly.blocks for anomaly in request.anomalies) for request in file.requests)
