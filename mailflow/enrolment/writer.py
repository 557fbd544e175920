"""Writes the whole enrolment as TOML: in a fixed order, so that two exports differ where the enrolments do."""

import base64
import json
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator

from mailflow.core.model import Directory, EnrolledCertificate, EnrolledSender, Environment, Mandate
from mailflow.core.rates import Budget
from mailflow.mail.trust import TrustError
from mailflow.mail.trust.certificate import describe

FORM = 1
"""Of the file; a reader refuses another."""
PEM_LINE = 64
"""RFC 7468 section 2."""

_HEAD = """\
# Who may act for whom. `mailflow enrolment import` carries out what differs from the register.
# What is missing here loses its rights: senders, desks and certificates are suspended, mandates end, addresses go.
"""


def write(directory: Directory, environment: Environment) -> str:
    """The file. Lines that begin with `#` say what a certificate holds; they are not read."""
    lines = [_HEAD, f"form = {FORM}", f"environment = {_text(environment.value)}"]
    for desk in sorted(directory.desks.values(), key=lambda one: one.code):
        lines += [
            "",
            "[[desk]]",
            f"code = {_text(desk.code)}",
            f"name = {_text(desk.name)}",
            f"address = {_text(desk.address)}",
            f"standing = {_text(desk.standing.value)}",
        ]
    for sender in sorted(directory.senders, key=lambda one: one.code):
        lines += ["", *_sender(sender)]
    return "\n".join(lines) + "\n"


def _sender(sender: EnrolledSender) -> Iterator[str]:
    yield from (
        "[[sender]]",
        f"code = {_text(sender.code)}",
        f"name = {_text(sender.name)}",
        f"standing = {_text(sender.standing.value)}",
        f"addresses = {_texts(sorted(sender.addresses))}",
        f"answers_to = {_text(sender.answer_address)}",
        f"legacy_encryption = {json.dumps(sender.legacy_encryption)}",
    )
    if sender.rates:
        own = ", ".join(f"{budget} = {sender.rates[budget]}" for budget in Budget if budget in sender.rates)
        yield f"rates = {{ {own} }}"
    uses: dict[str, list[EnrolledCertificate]] = defaultdict(list)
    for certificate in sender.certificates:
        uses[certificate.fingerprint].append(certificate)
    for _, same in sorted(uses.items()):
        yield from _certificate(same)
    for mandate in sorted(sender.mandates, key=lambda one: (one.desk, one.territory, one.starts_on)):
        yield from _mandate(mandate)


def _certificate(uses: list[EnrolledCertificate]) -> Iterator[str]:
    one = uses[0]
    yield from ("", "[[sender.certificate]]")
    try:
        known = describe(one.der)
        yield f"# {known.subject}, issued by {known.issuer}"
        yield f"# serial {known.serial}, valid {known.validity.begins:%Y-%m-%d} to {known.validity.ends:%Y-%m-%d}"
    except TrustError:
        yield "# cannot be read"
    yield f"fingerprint = {_text(one.fingerprint)}"
    for certificate in sorted(uses, key=lambda each: each.use, reverse=True):
        yield f"{certificate.use.value} = {_text(certificate.standing.value)}"
    yield from ('pem = """', "-----BEGIN CERTIFICATE-----")
    yield from textwrap.wrap(base64.b64encode(one.der).decode(), PEM_LINE)
    yield from ("-----END CERTIFICATE-----", '"""')


def _mandate(mandate: Mandate) -> Iterator[str]:
    yield from (
        "",
        "[[sender.mandate]]",
        f"desk = {_text(mandate.desk)}",
        f"territory = {_text(mandate.territory)}",
        f"rights = {_texts(sorted(right.value for right in mandate.rights))}",
        f"from = {mandate.starts_on.isoformat()}",
    )
    if mandate.ends_on is not None:
        yield f"until = {mandate.ends_on.isoformat()}"


def _texts(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _text(value: str) -> str:
    """A basic string: JSON's, but that TOML wants DEL escaped too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
