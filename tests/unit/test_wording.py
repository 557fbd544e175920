"""The text of an answer: complete, in French, faults in English too, and never a value."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from mailflow.core.anomalies import Anomaly, Code, catalogue
from mailflow.core.inquiry import (
    Question,
    QuestionFile,
    QuestionReceipt,
    RequestStatus,
    Situation,
    StatusAnswer,
)
from mailflow.core.model import FileReceipt, Operation, Refused, Registered, RequestState
from mailflow.core.numbers import DeskCode, UniqueNumber
from mailflow.mail import wording
from mailflow.mail.model import Reply
from tests.support.outcomes import done
from tests.unit.test_answer import a_receipt, a_reply

PARIS = "(heure de Paris)"
NUMBER = UniqueNumber("059022600000159123")


def text(reply: Reply) -> str:
    return wording.answer_text(reply, "assistance@service.example")


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
        "  2 demande(s), dont 1 acceptée(s)",
        f"  Demande 1 : numéro unique {NUMBER}",
        "  Demande 2 : refusée",
        f"    CTRL_DEM_0001 (erreur) {missing.path}",
        f"      {entry.french} {entry.remedy_french}",
        f"      [en] {entry.english} {entry.remedy_english}",
        "",
        "Le fichier RET joint pour chaque fichier DEM reprend ces résultats pour votre logiciel.",
        "",
        "Renvoyer le même fichier est toujours sans risque : rien n'est enregistré deux fois.",
        "",
        "Assistance : assistance@service.example",
    ]


@pytest.mark.parametrize(
    ("operation", "state", "replayed", "line"),
    [
        ("CRS", RequestState.ACTIVE, False, f"numéro unique {NUMBER}"),
        ("CRE", RequestState.DEREGISTERED, True, f"numéro unique {NUMBER} (déjà enregistrée)"),
        ("MOD", RequestState.ACTIVE, False, f"{NUMBER} modifiée"),
        ("MOD", RequestState.ACTIVE, True, f"{NUMBER} modifiée (rien n'a changé)"),
        ("REN", RequestState.ACTIVE, False, f"{NUMBER} renouvelée, valable jusqu'au 12/01/2027 compris"),
        ("RAD", RequestState.DEREGISTERED, False, f"{NUMBER} radiée"),
        ("RAD", RequestState.ACTIVE, False, f"{NUMBER} réactivée, valable jusqu'au 12/01/2027 compris"),
        ("SUP", RequestState.REMOVED, False, f"{NUMBER} supprimée"),
    ],
)
def test_each_operation_is_told_by_its_name(operation: str, state: RequestState, replayed: bool, line: str) -> None:
    receipt = with_outcomes(done(NUMBER, state=state, replayed=replayed))
    file = replace(receipt.file, operation=Operation(operation))
    assert f"  Demande 1 : {line}" in text(a_reply(replace(receipt, file=file))).splitlines()


def an_inquiry() -> QuestionReceipt:
    """One question of each kind, with its answer."""
    asked = [Question(file_name=f"DEM59123-202603021000-00000{n}.xml") for n in (1, 2, 3, 4)]
    status = RequestStatus(
        number=NUMBER,
        reference="D-1",
        state=RequestState.ACTIVE,
        expires_on=date(2027, 1, 12),
        operation=Operation.RENEWAL,
        operated_on=date(2026, 3, 1),
        anomalies=(Anomaly(code=Code.TELEPHONE_DOUBTFUL),) * 2,
    )
    gone = replace(status, state=RequestState.DEREGISTERED, expires_on=None, reference=None, anomalies=())
    refused = RequestStatus(anomalies=(Anomaly(code=Code.REQUEST_EXISTS),))
    since = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    return QuestionReceipt(
        file=QuestionFile(
            name="GES59123-202603021000-000001.xml",
            desk=DeskCode("59123"),
            digest="",
            questions=(*asked, Question(number=NUMBER), Question(reference="D\n2"), Question()),
        ),
        answered_at=since,
        answers=(
            StatusAnswer(situation=Situation.DECIDED, since=since, registered=1, refused=1, requests=(status, refused)),
            StatusAnswer(situation=Situation.WAITING, since=since),
            StatusAnswer(situation=Situation.WITH_OPERATOR, since=since),
            StatusAnswer(situation=Situation.UNKNOWN),
            StatusAnswer(requests=(gone,)),
            StatusAnswer(situation=Situation.DECIDED, since=since, anomalies=(Anomaly(code=Code.OUTCOMES_LEFT_OUT),)),
            StatusAnswer(anomalies=(Anomaly(code=Code.QUESTION_UNCLEAR, path="/gestion/listeQuestion/question[7]"),)),
        ),
    )


def test_what_was_asked_is_answered_line_by_line() -> None:
    entry = catalogue()[Code.QUESTION_UNCLEAR]
    at = f"02/03/2026 à 10:00:00 {PARIS}"
    last = "dernière opération REN le 01/03/2026"
    assert text(replace(a_reply(), questions=(an_inquiry(),))).splitlines()[6:] == [
        "Fichier GES59123-202603021000-000001.xml : 7 question(s)",
        "  Question 1 (DEM59123-202603021000-000001.xml)",
        f"    Le fichier a été traité le {at} : 1 enregistrée(s), 1 refusée(s).",
        f"    {NUMBER} (référence D-1) : active jusqu'au 12/01/2027 ; {last} ; anomalies : CTRL_DEM_0031",
        "    Demande refusée ; anomalies : CTRL_UNI_0001",
        "  Question 2 (DEM59123-202603021000-000002.xml)",
        f"    Le fichier est en attente depuis le {at}.",
        "  Question 3 (DEM59123-202603021000-000003.xml)",
        f"    Le fichier, reçu le {at}, est entre les mains de l'exploitant.",
        "  Question 4 (DEM59123-202603021000-000004.xml)",
        "    Le fichier est inconnu. S'il ne vient pas d'être envoyé, renvoyez-le : c'est sans risque.",
        f"  Question 5 ({NUMBER})",
        f"    {NUMBER} : radiée ; {last}",
        "  Question 6 (D?2)",
        f"    Le fichier a été traité le {at}.",
        "    Anomalies du fichier : CTRL_GES_0003",
        "  Question 7",
        "    CTRL_GES_0002 (erreur) /gestion/listeQuestion/question[7]",
        f"      {entry.french} {entry.remedy_french}",
        f"      [en] {entry.english} {entry.remedy_english}",
        "",
        "Le fichier RGE joint pour chaque fichier GES reprend ces réponses pour votre logiciel.",
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


def test_the_subject_tells_nothing_but_the_intake() -> None:
    assert wording.subject(812) == "Réponse à votre envoi 812"
