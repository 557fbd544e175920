"""However much is wrong with a mail, its answer stays small enough to be sent."""

from itertools import count
from typing import Any

import pytest

from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.model import Environment, FileReceipt, Refused, RequestFile
from mailflow.wire.reader import MAIL_ANOMALIES_MAX, bounded_together, read_file
from mailflow.wire.writer import write_return
from tests.support.requests import LIMITS, RECEIVED_AT, a_file, a_form

WRONG_PLACES = {"logementRecherche/listeLocalisationSouhaite": [{"commune": "X"}] * 60}


def files_of(*, files: int, requests: int, changes: dict[str, Any]) -> tuple[RequestFile, ...]:
    octets = a_file(*[a_form(changes)] * requests)
    names = (f"DEM59123-202601151030-{number:06}.xml" for number in range(files))
    return tuple(read_file(name, octets, limits=LIMITS, received_at=RECEIVED_AT) for name in names)


def anomalies_of(files: tuple[RequestFile, ...]) -> list[Anomaly]:
    requests = [anomaly for file in files for request in file.requests for anomaly in request.anomalies]
    return [*(anomaly for file in files for anomaly in file.anomalies), *requests]


@pytest.mark.long
def test_a_thousand_wrong_requests_make_an_answer_that_can_be_sent() -> None:
    read = files_of(files=5, requests=200, changes=WRONG_PLACES)
    told = bounded_together(read, MAIL_ANOMALIES_MAX)
    assert len(anomalies_of(read)) > 20 * MAIL_ANOMALIES_MAX
    assert len(anomalies_of(told)) <= MAIL_ANOMALIES_MAX + 1005
    returned = 0
    for file in told:
        outcomes = tuple(Refused(anomalies=request.anomalies) for request in file.requests)
        receipt = FileReceipt(file=file, record="r", decided_at=RECEIVED_AT, outcomes=outcomes)
        returned += len(write_return(receipt, environment=Environment.SCHOOL))
    assert returned < 20_000_000


def test_what_is_wrong_stays_wrong_and_says_that_there_is_more() -> None:
    read = files_of(files=2, requests=3, changes=WRONG_PLACES)
    told = bounded_together(read, 16)
    numbers = count(1)
    for request in told[0].requests:
        path = f"/interfaceNuu/demande[{next(numbers)}]"
        assert request.anomalies[-1] == Anomaly(code=Code.MORE_ANOMALIES, path=path)
        assert len(request.anomalies) == 3
        assert any(anomaly.blocks for anomaly in request.anomalies)


def test_a_warning_never_becomes_a_refusal() -> None:
    doubtful = {
        "personnePhysique/demandeur/coordonnees/telephone": "?",
        "personnePhysique/demandeur/coordonnees/courriel": "?",
    }
    read = files_of(files=1, requests=3, changes=doubtful)
    (file,) = bounded_together(read, 1)
    for number, request in enumerate(file.requests, start=1):
        assert not any(anomaly.blocks for anomaly in request.anomalies)
        assert request.anomalies[-1] == Anomaly(code=Code.MORE_WARNINGS, path=f"/interfaceNuu/demande[{number}]")


def test_few_anomalies_are_all_told() -> None:
    read = files_of(files=1, requests=2, changes=WRONG_PLACES)
    assert bounded_together(read, MAIL_ANOMALIES_MAX) == read
