"""What mails say that answer none: notices and dispatches. Pure."""

import zlib
from collections.abc import Mapping

from mailflow.core.model import SenderCode
from mailflow.jobs.orders import Dispatch, Notice
from mailflow.mail.letter import Addressee, Attachment, Automatic, Letter, Letterhead
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


def _letter(sender: str, subject: str, lines: list[str], attachment: Attachment, letterhead: Letterhead) -> Letter:
    said = ["Bonjour,", "", *lines, "", f"Assistance : {letterhead.contact}"]
    return Letter(
        to=Addressee(sender=SenderCode(sender)),
        subject=subject,
        text="\n".join(said) + "\n",
        automatic=Automatic.GENERATED,
        attachments=(attachment,),
    )
