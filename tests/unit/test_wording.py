"""The text of an answer: complete, in French, faults in English too, and never a value."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailflow.core.anomalies import Anomaly, Code, catalogue
from mailflow.core.model import Environment, FileReceipt, Refused, Registered
from mailflow.core.numbers import UniqueNumber
from mailflow.mail import wording
from mailflow.mail.model import Reply
from tests.support.outcomes import done
from tests.unit.test_answer import a_receipt, a_reply

PARIS = "(heure de Paris)"
NUMBER = UniqueNumber("059022600000159123")


def text(reply: Reply, environment: Environment = Environment.PRODUCTION) -> str:
    return wording.answer_text(reply, environment, "assistance@service.example")


def with_outcomes(*outcomes: Registered | Refused) -> FileReceipt:
    return replace(a_receipt(), outcomes=outcomes)


def test_a_whole_answer_reads_so() -> None:
    missing = Anomaly(code=Code.VALUE_MISSING, path="/interfaceNuu/demande[2]/demandeLogement/dateCreationDemande")
    receipt = with_outcomes(done(NUMBER), Refused(anomalies=(missing,)))
    entry = catalogue()[Code.VALUE_MISSING]
    assert text(a_reply(receipt)).splitlines() == [
        "Bonjour,",
        "",
        f"Votre message reçu le 02/03/2026 à 10:02:00 {PARIS} a été traité le 02/03/2026 à 10:03:00 {PARIS}.",
        "Référence de l'envoi : 812",
        f"Empreinte SHA-256 du contenu signé : {'d' * 64}",
        "",
        f"Fichier {receipt.file.name}",
        "  2 demande(s), dont 1 enregistrée(s)",
        f"  Demande 1 : numéro unique {NUMBER}",
        "  Demande 2 : non enregistrée",
        f"    CTRL_DEM_0001 (erreur) {missing.path}",
        f"      {entry.french} {entry.remedy_french}",
        f"      [en] {entry.english} {entry.remedy_english}",
        "",
        "Le fichier RET joint pour chaque fichier DEM reprend ces résultats pour votre logiciel.",
        "",
        "Renvoyer le même fichier est toujours sans risque : la même réponse est rendue.",
        "",
        "Assistance : assistance@service.example",
    ]


@pytest.mark.parametrize("code", Code)
def test_every_anomaly_is_told_with_code_place_sentence_and_remedy(code: Code) -> None:
    anomaly = Anomaly(code=code, path="/interfaceNuu/demande[1]")
    entry = catalogue()[code]
    whole = replace(a_reply(), anomalies=(anomaly,))
    of_file = a_reply(replace(a_receipt(), anomalies=(anomaly,)))
    of_request = a_reply(with_outcomes(Refused(anomalies=(anomaly,))))
    for reply in (whole, of_file, of_request):
        said = text(reply)
        assert f"{code} ({entry.severity}) /interfaceNuu/demande[1]\n" in said
        for sentence in (entry.french, entry.remedy_french, entry.english, entry.remedy_english):
            assert sentence in said


def test_a_refused_mail_is_answered_without_files() -> None:
    said = text(a_reply(anomalies=[Code.MAIL_WITHOUT_REQUEST]))
    assert "Le message dans son ensemble :" in said
    assert "RET" not in said


def test_a_repeat_says_that_it_is_one() -> None:
    said = text(a_reply(replace(with_outcomes(done(NUMBER, replayed=True)), repeated=True)))
    assert "(déjà traité : même réponse)" in said
    assert f"numéro unique {NUMBER} (déjà enregistrée)" in said


def test_an_existing_number_is_told_only_when_it_is_given() -> None:
    hidden = Anomaly(code=Code.REQUEST_EXISTS)
    assert "Numéro unique existant" not in text(a_reply(with_outcomes(Refused(anomalies=(hidden,)))))
    shown = replace(hidden, number=NUMBER)
    assert f"Numéro unique existant : {NUMBER}" in text(a_reply(with_outcomes(Refused(anomalies=(shown,)))))


def test_no_value_of_a_request_is_repeated() -> None:
    """Name, address, dates and telephone of the request stand in the file and never in the text."""
    said = text(a_reply(with_outcomes(Refused(anomalies=(Anomaly(code=Code.BIRTH_IN_FUTURE),)))))
    form = a_receipt().file.requests[0].form
    assert form is not None
    assert "Duranda" in form.model_dump_json()
    assert not [value for value in ("Durand", "Zoé", "1990", "allée", "0199001234", "Lille") if value in said]


def test_times_are_those_of_paris_in_summer_too() -> None:
    reply = replace(a_reply(), received_at=datetime(2026, 7, 1, 22, 30, tzinfo=UTC))
    assert "reçu le 02/07/2026 à 00:30:00 (heure de Paris)" in text(reply)


def test_the_subject_tells_nothing_but_the_intake_and_the_school() -> None:
    assert wording.subject(812, Environment.PRODUCTION) == "Réponse à votre envoi 812"
    assert wording.subject(812, Environment.SCHOOL) == "[ÉCOLE] Réponse à votre envoi 812"
