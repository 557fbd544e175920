"""What has to be done so that the register is as a file of enrolments says: step by step, as single commands would."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from mailflow.core import rates
from mailflow.core.model import (
    CertificateUse,
    Directory,
    EnrolledCertificate,
    EnrolledDesk,
    EnrolledSender,
    Mandate,
    SenderCode,
    Standing,
)
from mailflow.enrolment.reader import EnrolmentFault
from mailflow.errors import MailflowError
from mailflow.mail.trust.certificate import describe
from mailflow.register import Transaction, directory
from mailflow.register.directory import Change


class Outdated(MailflowError):
    """The plan was made from enrolments that are not those of now."""


class Effect(StrEnum):
    """How a step shows in the plan."""

    ADDS = "+"
    CHANGES = "~"
    TAKES = "-"
    """Somebody may do less afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One act."""

    effect: Effect
    says: str
    do: Callable[[Transaction, Change], Awaitable[None]]
    enrols: tuple[SenderCode, EnrolledCertificate] | None = None
    """A certificate: to be checked by whoever plans."""

    def __str__(self) -> str:
        return f"{self.effect} {self.says}"


def steps(known: Directory, wanted: Directory, today: date) -> list[Step]:
    """From the one to the other. Raises EnrolmentFault for what no command can do.

    What `wanted` does not have is not removed: a desk, sender or certificate is suspended, a mandate ends the day
    before `today`; an address alone is taken away. So the same file, carried out, leaves nothing to be done.
    """
    faults = list(_impossible(known, wanted))
    if faults:
        raise EnrolmentFault("\n  ".join(faults))
    found = [step for code, desk in wanted.desks.items() for step in _desk(known.desks.get(code), desk)]
    senders = {sender.code: sender for sender in known.senders}
    for sender in wanted.senders:
        found += _sender(senders.get(sender.code), sender, today)
    enrolled = {sender.code for sender in wanted.senders}
    for sender in known.senders:
        if sender.code not in enrolled and sender.standing is Standing.ACTIVE:
            found.append(_sender_standing(sender, Standing.SUSPENDED, ", which the file does not have"))
    for code, desk in known.desks.items():
        if code not in wanted.desks and desk.standing is Standing.ACTIVE:
            found.append(_desk_standing(desk, Standing.SUSPENDED, ", which the file does not have"))
    return found


async def carry_out(tx: Transaction, known: Directory, found: Sequence[Step], change: Change) -> None:
    """Do the steps that lead away from `known`. Raises Outdated."""
    await directory.have_alone(tx)
    if await directory.generation(tx) != known.generation:
        raise Outdated("enrolments were changed meanwhile: look at the plan again")
    for step in found:
        await step.do(tx, change)


def _impossible(known: Directory, wanted: Directory) -> Iterator[str]:
    owners = {one.fingerprint: sender.code for sender in known.senders for one in sender.certificates}
    before = {(sender.code, *_key(one)): one for sender in known.senders for one in sender.mandates}
    for sender in wanted.senders:
        for certificate in sender.certificates:
            owner = owners.get(certificate.fingerprint, sender.code)
            if owner != sender.code:
                yield f"sender {sender.code}: certificate {certificate.fingerprint} is enrolled for {owner} already"
        for mandate in sender.mandates:
            old = before.get((sender.code, *_key(mandate)))
            if old is not None and (old.rights != mandate.rights or _last(old) < _last(mandate)):
                yield (
                    f"sender {sender.code}: {_named(mandate)} has {_allowed(old)}; only its end can be changed, to an"
                    " earlier day: end it by `until`, and add another that begins the day after"
                )


# Desks


def _desk(old: EnrolledDesk | None, new: EnrolledDesk) -> Iterator[Step]:
    if old is None:

        async def add(tx: Transaction, change: Change) -> None:
            await directory.add_desk(tx, new.code, name=new.name, address=new.address, change=change)
            if new.standing is not Standing.ACTIVE:
                await directory.set_desk_standing(tx, new.code, new.standing, change)

        says = f"desk {new.code} ({new.name}, {new.address}){_unless_active(new.standing)}"
        yield Step(effect=Effect.ADDS, says=says, do=add)
        return
    if (old.name, old.address) != (new.name, new.address):

        async def amend(tx: Transaction, change: Change) -> None:
            await directory.amend_desk(tx, new.code, name=new.name, address=new.address, change=change)

        says = f"desk {new.code}: {old.name}, {old.address} becomes {new.name}, {new.address}"
        yield Step(effect=Effect.CHANGES, says=says, do=amend)
    if old.standing is not new.standing:
        yield _desk_standing(new, new.standing)


def _desk_standing(desk: EnrolledDesk, standing: Standing, why: str = "") -> Step:
    async def do(tx: Transaction, change: Change) -> None:
        await directory.set_desk_standing(tx, desk.code, standing, change)

    return _standing(f"the desk {desk.code}{why}", standing, do)


def _unless_active(standing: Standing) -> str:
    return "" if standing is Standing.ACTIVE else f", {standing.value}"


def _standing(whose: str, standing: Standing, do: Callable[[Transaction, Change], Awaitable[None]]) -> Step:
    suspends = standing is Standing.SUSPENDED
    verb = "suspend" if suspends else "release"
    return Step(effect=Effect.TAKES if suspends else Effect.ADDS, says=f"{verb} {whose}", do=do)


# Senders


def _sender(old: EnrolledSender | None, new: EnrolledSender, today: date) -> Iterator[Step]:
    if old is None:

        async def add(tx: Transaction, change: Change) -> None:
            await directory.add_sender(
                tx,
                new.code,
                name=new.name,
                answer_address=new.answer_address,
                legacy_encryption=new.legacy_encryption,
                change=change,
            )
            if new.standing is not Standing.ACTIVE:
                await directory.set_sender_standing(tx, new.code, new.standing, change)

        by = ", by the old algorithms" if new.legacy_encryption else ""
        says = f"sender {new.code} ({new.name}), answers to {new.answer_address}{by}{_unless_active(new.standing)}"
        yield Step(effect=Effect.ADDS, says=says, do=add)
        old = replace(new, addresses=frozenset(), certificates=(), mandates=(), rates={})
    yield from _particulars(old, new)
    yield from _addresses(old, new)
    yield from _certificates(old, new)
    yield from _mandates(old, new, today)
    if old.standing is not new.standing:
        yield _sender_standing(new, new.standing)


def _particulars(old: EnrolledSender, new: EnrolledSender) -> Iterator[Step]:
    if old.name != new.name:

        async def rename(tx: Transaction, change: Change) -> None:
            await directory.amend_sender(tx, new.code, name=new.name, legacy_encryption=None, change=change)

        yield Step(effect=Effect.CHANGES, says=f"sender {new.code}: {old.name} becomes {new.name}", do=rename)
    if old.legacy_encryption != new.legacy_encryption:

        async def encrypt(tx: Transaction, change: Change) -> None:
            legacy = new.legacy_encryption
            await directory.amend_sender(tx, new.code, name=None, legacy_encryption=legacy, change=change)

        by = "the old algorithms" if new.legacy_encryption else "the present algorithms"
        yield Step(effect=Effect.CHANGES, says=f"sender {new.code}: answers by {by}", do=encrypt)
    if old.answer_address != new.answer_address:

        async def move(tx: Transaction, change: Change) -> None:
            await directory.set_answer_address(tx, new.code, new.answer_address, change)

        says = f"sender {new.code}: answers to {new.answer_address}, no more to {old.answer_address}"
        yield Step(effect=Effect.CHANGES, says=says, do=move)
    if old.rates != new.rates:

        async def allow(tx: Transaction, change: Change) -> None:
            await directory.set_rates(tx, new.code, new.rates, change)

        yield Step(effect=Effect.CHANGES, says=f"sender {new.code}: {rates.told(new.rates)}", do=allow)


def _sender_standing(sender: EnrolledSender, standing: Standing, why: str = "") -> Step:
    async def do(tx: Transaction, change: Change) -> None:
        await directory.set_sender_standing(tx, sender.code, standing, change)

    return _standing(f"the sender {sender.code}{why}", standing, do)


def _addresses(old: EnrolledSender, new: EnrolledSender) -> Iterator[Step]:
    for address in sorted(new.addresses - old.addresses):

        async def add(tx: Transaction, change: Change, address: str = address) -> None:
            await directory.add_address(tx, new.code, address, change)

        yield Step(effect=Effect.ADDS, says=f"sender {new.code}: accept mail from {address}", do=add)
    for address in sorted(old.addresses - new.addresses):

        async def remove(tx: Transaction, change: Change, address: str = address) -> None:
            await directory.remove_address(tx, new.code, address, change)

        yield Step(effect=Effect.TAKES, says=f"sender {new.code}: accept no more mail from {address}", do=remove)


def _certificates(old: EnrolledSender, new: EnrolledSender) -> Iterator[Step]:
    before = {(one.fingerprint, one.use): one for one in old.certificates}
    after = {(one.fingerprint, one.use): one for one in new.certificates}
    for key, one in after.items():
        if key not in before:
            yield _add_certificate(new, one)
        elif before[key].standing is not one.standing:
            yield _certificate_standing(new, one, one.standing)
    for key, one in before.items():
        if key not in after and one.standing is Standing.ACTIVE:
            yield _certificate_standing(new, one, Standing.SUSPENDED)


def _add_certificate(sender: EnrolledSender, one: EnrolledCertificate) -> Step:
    async def add(tx: Transaction, change: Change) -> None:
        await directory.add_certificate(
            tx, sender.code, fingerprint=one.fingerprint, der=one.der, use=one.use, change=change
        )
        if one.standing is not Standing.ACTIVE:
            await directory.set_certificate_standing(tx, one.fingerprint, one.standing, change, one.use)

    known = describe(one.der)
    what = f"{_certificate(one)}, {known.subject}, until {known.validity.ends:%Y-%m-%d}{_unless_active(one.standing)}"
    return Step(effect=Effect.ADDS, says=f"sender {sender.code}: accept {what}", do=add, enrols=(sender.code, one))


def _certificate_standing(sender: EnrolledSender, one: EnrolledCertificate, standing: Standing) -> Step:
    async def do(tx: Transaction, change: Change) -> None:
        await directory.set_certificate_standing(tx, one.fingerprint, standing, change, one.use)

    return _standing(f"of the sender {sender.code} {_certificate(one)}", standing, do)


def _certificate(one: EnrolledCertificate) -> str:
    return f"certificate {one.fingerprint} to {'sign' if one.use is CertificateUse.SIGN else 'encrypt answers'}"


# Mandates


def _mandates(old: EnrolledSender, new: EnrolledSender, today: date) -> Iterator[Step]:
    before = {_key(one): one for one in old.mandates}
    after = {_key(one): one for one in new.mandates}
    for key, one in sorted(after.items()):
        if key not in before:
            yield _add_mandate(new, one)
        elif _last(one) < _last(before[key]):
            yield _end_mandate(new, one, _last(one))
    for key, one in sorted(before.items()):
        if key not in after and _last(one) >= today:
            yield _end_mandate(new, one, today - timedelta(days=1))


def _add_mandate(sender: EnrolledSender, one: Mandate) -> Step:
    async def add(tx: Transaction, change: Change) -> None:
        await directory.add_mandate(tx, sender.code, one, change)

    return Step(effect=Effect.ADDS, says=f"sender {sender.code}: {_named(one)}, {_allowed(one)}", do=add)


def _end_mandate(sender: EnrolledSender, one: Mandate, last: date) -> Step:
    async def end(tx: Transaction, change: Change) -> None:
        await directory.end_mandate(
            tx, sender.code, one.desk, one.territory, ends_on=last, change=change, starts_on=one.starts_on
        )

    return Step(effect=Effect.TAKES, says=f"sender {sender.code}: {_named(one)} ends with {last}", do=end)


def _key(one: Mandate) -> tuple[str, str, date]:
    return (one.desk, one.territory, one.starts_on)


def _last(one: Mandate) -> date:
    return one.ends_on or date.max


def _named(one: Mandate) -> str:
    return f"the mandate for {one.desk} in {one.territory} from {one.starts_on}"


def _allowed(one: Mandate) -> str:
    until = f" until {one.ends_on}" if one.ends_on else ""
    return f"{' '.join(sorted(right.value for right in one.rights))}{until}"
