"""What mails say that answer none: notices, dispatches, certificates that end or begin. Pure."""

import zlib
from collections.abc import Mapping
from dataclasses import replace

from mailflow.core.calendar import PARIS
from mailflow.core.model import CertificateUse, SenderCode
from mailflow.core.service_keys import KeyUse
from mailflow.core.succession import Succession
from mailflow.jobs.orders import CertificateEnding, Dispatch, Notice, ServiceCertificate
from mailflow.mail import pem
from mailflow.mail.letter import Addressee, Attachment, Automatic, Letter, Letterhead
from mailflow.mail.model import SuccessionNotice
from mailflow.mail.trust.certificate import describe
from mailflow.wire import notice

XML = "application/xml"
CSV = "text/csv; charset=utf-8"


def write_notice(order: Notice, letterhead: Letterhead, _: Mapping[str, bytes]) -> Letter:
    """That requests end soon: which, and when. No names: the desk has them."""
    text = [
        f"Guichet {order.desk} : {len(order.requests)} demande(s) active(s) arrivent à échéance.",
        "",
        "Chaque demandeur doit être informé au moins un mois avant l'échéance. Une demande qui n'est pas renouvelée",
        "(opération REN) au plus tard le jour indiqué est radiée le lendemain pour non-renouvellement (RADREN).",
        "",
        *(f"  {number} : dernier jour {last:%d/%m/%Y}" for number, last in order.requests),
        "",
        "Le fichier joint reprend cette liste pour votre logiciel.",
    ]
    name = notice.notice_name(order.desk, order.requests[0][0])
    attachment = Attachment(
        name=name, content=notice.write_notice(order.requests, letterhead.environment), content_type=CSV
    )
    return _letter(order.sender, "Préavis d'échéance", text, attachment, letterhead)


def write_dispatch(order: Dispatch, letterhead: Letterhead, _: Mapping[str, bytes]) -> Letter:
    """What others did, as a `DIS` file."""
    text = [
        f"Guichet {order.desk}, territoire {order.territory} : dispatching n° {order.number}.",
        "",
        f"Le fichier {order.name} donne l'état de {order.requests} demande(s) sur lesquelles d'autres guichets ou le",
        "service lui-même sont intervenus. Les numéros de dispatching se suivent sans trou pour chaque guichet :",
        "s'il en manque un, demandez qu'il vous soit renvoyé.",
    ]
    attachment = Attachment(name=order.name, content=zlib.decompress(order.content), content_type=XML)
    return _letter(order.sender, f"Dispatching {order.number}", text, attachment, letterhead)


_USES = {
    CertificateUse.SIGN: ("signature de vos messages", "signing your mails"),
    CertificateUse.ENCRYPT: ("chiffrement des réponses", "encrypting answers"),
}


def write_certificate_ending(order: CertificateEnding, letterhead: Letterhead, _: Mapping[str, bytes]) -> Letter:
    """That a certificate ends: which, when, and what to do. It is told even when nothing can be encrypted any more."""
    known = describe(order.certificate)
    ends = known.validity.ends.astimezone(PARIS)
    french, english = (" ; ".join(_USES[use][language] for use in order.uses) for language in (0, 1))
    text = [
        f"Un certificat inscrit pour l'expéditeur {order.sender} prend fin le {ends:%d/%m/%Y à %H:%M:%S}",
        "(heure de Paris), et aucun autre n'est inscrit pour lui succéder.",
        "",
        f"  Titulaire : {known.subject}",
        f"  Émetteur : {known.issuer}",
        f"  Numéro de série : {known.serial}",
        f"  Empreinte SHA-256 : {known.fingerprint}",
        f"  Usage : {french}",
        "",
        "Ce qu'il faut faire avant cette date :",
        "  1. Demandez un nouveau certificat à votre autorité.",
        "  2. Proposez-le par un message signé avec l'ancien (fichier NCE), ou remettez-le à l'exploitant, au format",
        "     PEM, sans sa clé privée.",
        "  3. Une fois inscrit, employez-le : l'ancien et le nouveau sont admis en même temps pendant le changement.",
        "",
        "Ensuite, les messages signés avec l'ancien sont refusés, et aucune réponse n'est chiffrée pour lui.",
        "",
        f"[en] The certificate above (use: {english}) ends on {ends:%Y-%m-%d}, and none is enrolled to follow it.",
        "     Propose its successor before that day in a mail signed with the old one (file NCE), or hand it (PEM,",
        "     without the private key) to the operator; both work at once during the change. Then mails signed with",
        "     the old one are refused, and no answer is encrypted to it.",
    ]
    letter = _letter(order.sender, "Fin de validité d'un certificat", text, None, letterhead)
    return replace(letter, confidential=False)


def write_service_certificate(order: ServiceCertificate, letterhead: Letterhead, _: Mapping[str, bytes]) -> Letter:
    """That the service has a new certificate: which, from when, and what to do. It goes along; all of it is public."""
    known = describe(order.certificate)
    begins = order.active_from.astimezone(PARIS)
    if order.use is KeyUse.SIGNING:
        purpose, does = "signature des messages du service", "signe ses messages avec ce certificat"
        english = "signs its mails with the certificate attached. Trust it beside the present one from today on"
        steps = [
            "Admettez-le dès maintenant à côté de l'ancien : des messages signés avec l'ancien peuvent encore venir."
        ]
    else:
        purpose, does = (
            "chiffrement des messages au service",
            "demande que ses messages soient chiffrés pour ce certificat",
        )
        english = "wants mails to it encrypted to the certificate attached. It can read them already"
        steps = ["Employez-le à partir de cette date, ou dès maintenant : le service sait déjà lire ces messages."]
        if order.former_until is not None:
            until = order.former_until.astimezone(PARIS)
            steps.append(
                f"Ce qui est chiffré pour l'ancien est lu jusqu'au {until:%d/%m/%Y} ; ne comptez pas dessus ensuite."
            )
    text = [
        f"À partir du {begins:%d/%m/%Y à %H:%M} (heure de Paris), le service {does} :",
        "",
        f"  Titulaire : {known.subject}",
        f"  Émetteur : {known.issuer}",
        f"  Numéro de série : {known.serial}",
        f"  Empreinte SHA-256 : {known.fingerprint}",
        f"  Valable jusqu'au : {known.validity.ends.astimezone(PARIS):%d/%m/%Y}",
        "",
        "Ce qu'il faut faire :",
        "  1. Vérifiez que ce message est signé avec un certificat du service que vous connaissez.",
        *(f"  {number}. {step}" for number, step in enumerate(steps, 2)),
        "",
        "Le certificat est joint au format PEM.",
        "",
        f"[en] From {begins:%Y-%m-%d %H:%M} (Paris) on the service {english}.",
    ]
    attachment = Attachment(
        name=f"certificat-{order.use}-{known.fingerprint[:16]}.pem",
        content="\n".join(
            [
                f"{letterhead.address}, environnement {letterhead.environment} : {purpose}",
                pem.written(order.certificate, pem.CERTIFICATE),
                "",
            ]
        ).encode(),
        content_type="application/pem-certificate-chain",
    )
    letter = _letter(order.sender, "Nouveau certificat du service", text, attachment, letterhead)
    return replace(letter, confidential=False)


_BECAME = {
    Succession.WAITING: ("Il attend la confirmation de l'exploitant.", "It waits for the operator's word."),
    Succession.ENROLLED: ("Il est inscrit et admis dès maintenant.", "It is enrolled and works from now on."),
    Succession.DECLINED: ("L'exploitant l'a refusé : il n'est pas inscrit.", "The operator has declined it."),
}


def write_succession(order: SuccessionNotice, letterhead: Letterhead, _: Mapping[str, bytes]) -> Letter:
    """That a certificate was offered in the sender's name, to whoever may know that this was not so."""
    successor = order.receipt.successor
    known = describe(successor.certificate)
    french, english = _BECAME[order.receipt.became]
    text = [
        f"Un nouveau certificat a été proposé pour l'expéditeur {order.sender}, par un message signé avec le",
        "certificat inscrit dont l'empreinte SHA-256 est",
        f"  {successor.follows}",
        "",
        f"  Titulaire : {known.subject}",
        f"  Émetteur : {known.issuer}",
        f"  Numéro de série : {known.serial}",
        f"  Empreinte SHA-256 : {known.fingerprint}",
        f"  Fin de validité : {known.validity.ends.astimezone(PARIS):%d/%m/%Y}",
        "",
        french,
        "",
        "Si ce n'est pas vous qui l'avez proposé, appelez l'assistance sans attendre : quelqu'un dispose de votre clé.",
        "",
        f"[en] The certificate above was offered to follow the enrolled one, by a mail signed with that one. {english}",
        "     If it was not you, call the support at once: somebody has your key.",
    ]
    letter = _letter(order.sender, "Nouveau certificat", text, None, letterhead)
    to = Addressee(sender=order.sender, certificate=order.encrypt_to)
    return replace(letter, to=to, confidential=False)


def _letter(
    sender: str, subject: str, lines: list[str], attachment: Attachment | None, letterhead: Letterhead
) -> Letter:
    said = ["Bonjour,", "", *lines, "", f"Assistance : {letterhead.contact}"]
    return Letter(
        to=Addressee(sender=SenderCode(sender)),
        subject=subject,
        text="\n".join(said) + "\n",
        automatic=Automatic.GENERATED,
        attachments=(attachment,) if attachment else (),
    )
