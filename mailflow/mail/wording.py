"""What mails say to the person behind the desk's software: French, faults also in English. Pure.

That a mail is the school's is not said here but by the composer, in each mail of whatever kind.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from mailflow.core import calendar
from mailflow.core.anomalies import Anomaly, catalogue
from mailflow.core.inquiry import QuestionReceipt, RequestStatus, Situation, StatusAnswer
from mailflow.core.model import Environment, FileReceipt, Operation, Outcome, Registered, RequestState
from mailflow.core.succession import Succession, SuccessorReceipt
from mailflow.mail.model import Reply, TechnicalReceipt

SCHOOL_MARK = "[ÉCOLE]"
SCHOOL_NOTICE = "ÉCOLE : ceci est un essai. Aucun numéro de ce message n'a de valeur."
"""The first line of every mail of the school: whoever forwards the text forwards it too."""

_STATES = {
    RequestState.ACTIVE: "active",
    RequestState.DEREGISTERED: "radiée",
    RequestState.REMOVED: "supprimée",
}


def marked(line: str, environment: Environment) -> str:
    """A subject or a sender's name, which stand outside the encryption and outlive it in lists of mails."""
    return f"{SCHOOL_MARK} {line}" if environment is Environment.SCHOOL else line


def subject(intake: int) -> str:
    """Only what everybody on the way may read."""
    return f"Réponse à votre envoi {intake}"


def receipt_subject(intake: int) -> str:
    """Likewise, of a technical receipt."""
    return f"Accusé technique de votre envoi {intake}"


def receipt_text(order: TechnicalReceipt, contact: str) -> str:
    """That the mail is here; lines end with LF."""
    mail = order.recognised
    lines = [
        "Bonjour,",
        "",
        f"Votre message est arrivé le {_moment(order.received_at)} ; sa réponse tarde.",
        f"Elle vous parviendra au plus tard le {_moment(order.deadline_at)}.",
        "",
        "Ceci est un accusé technique : rien n'est encore décidé, aucun numéro n'est encore attribué.",
        "Il est inutile de renvoyer le message.",
        "",
        f"Référence de l'envoi : {mail.intake}",
        f"Empreinte SHA-256 du contenu signé : {mail.reply.content_digest}",
        f"Taille du message : {mail.size_bytes} octets",
    ]
    lines += [f"Fichier {_printable(file.name)}, empreinte {file.digest}" for file in mail.files]
    lines += ["", f"Assistance : {contact}"]
    return "\n".join(lines) + "\n"


def part_subject(subject: str, number: int, count: int) -> str:
    """The subject of one part of a letter; alone it is the letter's."""
    return subject if count == 1 else f"{subject} (partie {number} sur {count})"


def parts_of(subject: str) -> int:
    """How many parts a letter has, of which a mail of ours bears this subject."""
    found = re.search(r" \(partie \d+ sur (\d+)\)$", subject)
    return int(found[1]) if found else 1


def part_text(text: str, number: int, count: int, environment: Environment) -> str:
    """The text of one part of a letter: the letter's in the first, before it what else comes."""
    lines = [SCHOOL_NOTICE, ""] if environment is Environment.SCHOOL else []
    if count == 1:
        return "\n".join([*lines, text])
    lines.append(f"Ce message est la partie {number} sur {count} : l'ensemble dépasse la taille d'un seul message.")
    if number == 1:
        lines += ["Les autres parties vous parviennent séparément, dans un ordre quelconque.", "", text]
    else:
        lines.append("Le texte et le récapitulatif se trouvent dans la partie 1 ; les pièces jointes suivent ici.")
    return "\n".join(lines).removesuffix("\n") + "\n"


def answer_text(reply: Reply, contact: str) -> str:
    """What became of the mail, file by file and request by request; lines end with LF."""
    lines = [
        "Bonjour,",
        "",
        f"Votre message reçu le {_moment(reply.received_at)} a été traité le {_moment(reply.decided_at)}.",
        f"Référence de l'envoi : {reply.intake}",
        f"Empreinte SHA-256 du contenu signé : {reply.context.content_digest}",
    ]
    if reply.anomalies:
        lines += ["", "Le message dans son ensemble :"]
        lines += [line for anomaly in reply.anomalies for line in _anomaly(anomaly)]
    if reply.note:
        lines += ["", "L'exploitant précise :", *(f"    {_printable(line)}" for line in reply.note.splitlines())]
    if reply.successor:
        lines += ["", *_successor(reply.successor)]
    for file in reply.files:
        lines += ["", *_file(file)]
    for asked in reply.questions:
        lines += ["", *_questions(asked)]
    if reply.files:
        lines += ["", "Le fichier RET joint pour chaque fichier DEM reprend ces résultats pour votre logiciel."]
    if any(isinstance(o, Registered) and o.attestation for file in reply.files for o in file.outcomes):
        lines += ["Les attestations (ATT…pdf) sont jointes : remettez la sienne à chaque demandeur."]
    if reply.questions:
        lines += ["", "Le fichier RGE joint pour chaque fichier GES reprend ces réponses pour votre logiciel."]
    if reply.files or not reply.questions:
        lines += ["", "Renvoyer le même fichier est toujours sans risque : rien n'est enregistré deux fois."]
    lines += ["", f"Assistance : {contact}"]
    return "\n".join(lines) + "\n"


_BECAME = {
    Succession.WAITING: "attend la confirmation de l'exploitant ; continuez à signer avec l'ancien.",
    Succession.ENROLLED: "est inscrit : vous pouvez signer avec lui dès maintenant.",
    Succession.DECLINED: "a été refusé par l'exploitant : appelez l'assistance.",
    Succession.TOO_MANY: "n'est pas retenu : trop d'autres attendent déjà ; appelez l'assistance.",
}


def _successor(receipt: SuccessorReceipt) -> Iterator[str]:
    yield f"Le nouveau certificat {receipt.successor.fingerprint} {_BECAME[receipt.became]}"


def _file(receipt: FileReceipt) -> Iterator[str]:
    again = " (déjà traité : même réponse)" if receipt.repeated else ""
    registered = sum(isinstance(outcome, Registered) for outcome in receipt.outcomes)
    yield f"Fichier {_printable(receipt.file.name)}{again}"
    if receipt.outcomes:
        yield f"  {len(receipt.outcomes)} demande(s), dont {registered} acceptée(s)"
    for anomaly in receipt.anomalies:
        yield from _anomaly(anomaly)
    for position, outcome in enumerate(receipt.outcomes, 1):
        yield from _outcome(position, outcome, receipt.file.operation)


_DONE = {
    (Operation.AMENDMENT, RequestState.ACTIVE): "modifiée",
    (Operation.AMENDMENT, RequestState.DEREGISTERED): "modifiée, mais radiée depuis",
    (Operation.RENEWAL, RequestState.ACTIVE): "renouvelée, valable jusqu'au {day} compris",
    (Operation.DEREGISTRATION, RequestState.DEREGISTERED): "radiée",
    (Operation.DEREGISTRATION, RequestState.ACTIVE): "réactivée, valable jusqu'au {day} compris",
    (Operation.REMOVAL, RequestState.REMOVED): "supprimée",
}
"""What became of a registered request, by the operation and the state in which it left it."""


def _outcome(position: int, outcome: Outcome, operation: Operation | None) -> Iterator[str]:
    if not isinstance(outcome, Registered):
        yield f"  Demande {position} : refusée"
    elif what := operation and _DONE.get((operation, outcome.state)):
        already = " (rien n'a changé)" if outcome.replayed else ""
        yield f"  Demande {position} : {outcome.number} {what.format(day=f'{outcome.expires_on:%d/%m/%Y}')}{already}"
    else:
        already = " (déjà enregistrée)" if outcome.replayed else ""
        yield f"  Demande {position} : numéro unique {outcome.number}{already}"
    for anomaly in outcome.anomalies:
        yield from _anomaly(anomaly)


def _questions(receipt: QuestionReceipt) -> Iterator[str]:
    file = receipt.file
    yield f"Fichier {_printable(file.name)} : {len(file.questions)} question(s)"
    for anomaly in receipt.anomalies:
        yield from _anomaly(anomaly)
    for position, (question, answer) in enumerate(zip(file.questions, receipt.answers, strict=False), 1):
        about = question.file_name or question.number or question.reference
        yield f"  Question {position}{f' ({_printable(about)})' if about else ''}"
        if answer.situation:
            yield f"    {_situation(answer)}"
        for request in answer.requests:
            yield f"    {_request(request)}"
        if answer.situation is not Situation.DECIDED:
            for anomaly in answer.anomalies:
                yield from _anomaly(anomaly)
        elif answer.anomalies:
            yield f"    Anomalies du fichier : {_codes(answer.anomalies)}"


def _situation(answer: StatusAnswer) -> str:
    since = _moment(answer.since) if answer.since else "l'instant"
    match answer.situation:
        case Situation.WAITING:
            return f"Le fichier est en attente depuis le {since}."
        case Situation.WITH_OPERATOR:
            return f"Le fichier, reçu le {since}, est entre les mains de l'exploitant."
        case Situation.DECIDED if answer.registered is None:
            return f"Le fichier a été traité le {since}."
        case Situation.DECIDED:
            counts = f"{answer.registered} enregistrée(s), {answer.refused} refusée(s)"
            return f"Le fichier a été traité le {since} : {counts}."
        case _:
            return "Le fichier est inconnu. S'il ne vient pas d'être envoyé, renvoyez-le : c'est sans risque."


def _request(status: RequestStatus) -> str:
    reference = f" (référence {_printable(status.reference)})" if status.reference else ""
    told = f" ; anomalies : {_codes(status.anomalies)}" if status.anomalies else ""
    if status.number is None or status.state is None:
        return f"Demande refusée{reference}{told}"
    until = f" jusqu'au {status.expires_on:%d/%m/%Y}" if status.expires_on else ""
    last = f" ; dernière opération {status.operation} le {status.operated_on:%d/%m/%Y}" if status.operated_on else ""
    return f"{status.number}{reference} : {_STATES[status.state]}{until}{last}{told}"


def _codes(anomalies: Iterable[Anomaly]) -> str:
    return ", ".join(dict.fromkeys(anomaly.code.value for anomaly in anomalies))


def _anomaly(anomaly: Anomaly) -> Iterator[str]:
    entry = catalogue()[anomaly.code]
    yield f"    {anomaly.code} ({entry.severity}) {anomaly.path}".rstrip()
    yield f"      {entry.french} {entry.remedy_french}"
    if anomaly.number:
        yield f"      Numéro unique existant : {anomaly.number}"
    yield f"      [en] {entry.english} {entry.remedy_english}"


def _printable(name: str) -> str:
    """A file name as the sender wrote it may hold anything; a person is shown what can be shown."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _moment(at: datetime) -> str:
    local = at.astimezone(calendar.PARIS)
    return f"{local:%d/%m/%Y} à {local:%H:%M:%S} (heure de Paris)"
