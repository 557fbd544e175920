"""What an operation does to a registered request: whether it may be done, and how the request stands afterwards.

Checked in this order: the request is one that the desk has access to, and the holder's; the state table (`core.life`);
what else must be so. The first is one and the same refusal, whatever is wrong: a number alone must tell
nobody anything.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from mailflow.core import calendar, separation
from mailflow.core.anomalies import Anomaly, Code
from mailflow.core.form import without_nir
from mailflow.core.life import NOT_RENEWED, Action, Life, Role, overdue_for_removal, refusal
from mailflow.core.model import Operation, Request, Right
from mailflow.core.order import Deregistration, holds
from mailflow.core.rules import territory_sought
from mailflow.core.signers import Signer, numbers_kept, signers
from mailflow.registrar.subjects import Subject, Version
from mailflow.registrar.work import Change, Creation, FileWork

_ACTIONS = {
    Operation.CREATION_AFTER_SEPARATION: Action.SEPARATION,
    Operation.AMENDMENT: Action.AMENDMENT,
    Operation.RENEWAL: Action.RENEWAL,
    Operation.REMOVAL: Action.REMOVAL,
}


def action_of(operation: Operation, request: Request) -> Action:
    """What is done, more precisely than by the type of the file."""
    if operation is not Operation.DEREGISTRATION:
        return _ACTIONS[operation]
    motive = (request.deregistration or Deregistration()).motive
    if not motive:
        return Action.REACTIVATION
    return Action.EXPIRY if motive == NOT_RENEWED else Action.DEREGISTRATION


def roles_of(work: FileWork, subject: Subject) -> set[Role]:
    """What the file's desk is to the request, by its mandates for the territory that allow the operation."""
    operation = work.file.operation
    assert operation is not None, "a file of no known type is refused"
    allowing = [
        mandate
        for mandate in work.mandates
        if (mandate.desk, mandate.territory) == (work.file.desk, subject.territory)
        and Right(operation.value) in mandate.rights
    ]
    if not allowing:
        return {Role.STRANGER}
    desk = Role.CREATOR if work.file.desk == subject.desk else Role.DESK
    return {desk, Role.MANAGER} if any(Right.MANAGE in mandate.rights for mandate in allowing) else {desk}


def judge(candidate: Creation | Change) -> None:
    """Refuse it, or say how its subject is to stand; and how old a request is that leaves another one."""
    change = candidate.change
    assert change is not None, "a creation that leaves no couple's request is not judged by one"
    subject, request = change.subject, change.request
    roles = roles_of(change.file, subject)
    form = subject.version.form
    theirs = form is not None and request.holder is not None and holds(request.holder, form)
    day = calendar.legal_day(change.file.submission.received_at)
    if Role.STRANGER in roles or not theirs:
        candidate.refuse(unknown(change.element))
    elif (code := refusal(subject.version.life.standing(day), change.action, roles)) is not None:
        candidate.refuse(Anomaly(code=code, path=change.element))
    elif wrong := tuple(_conditions(change, day)):
        candidate.refuse(*wrong)
    elif isinstance(candidate, Creation):
        _separate(candidate, change)
    else:
        change.judged(_changed(change, day))


def unknown(element: str) -> Anomaly:
    """No such request, for this desk and holder; `element` is the path of the request in the file."""
    return Anomaly(code=Code.NUMBER_UNKNOWN, path=f"{element}/numUnique")


# Conditions beyond the state table


def _conditions(change: Change, day: date) -> Iterator[Anomaly]:
    subject, form, element = change.subject, change.request.form, change.element
    if change.dated_at < subject.dated_at:
        yield Anomaly(code=Code.FILE_OVERTAKEN, path=element)
    if form is not None and territory_sought(form) != subject.territory:
        yield Anomaly(code=Code.TERRITORY_CHANGED, path=f"{change.path}/logementRecherche")
    life = subject.version.life
    match change.action:
        case Action.RENEWAL if day < life.renewal_opens_on() and not life.is_renewed_for(day):
            yield Anomaly(code=Code.RENEWAL_TOO_EARLY, path=element)
        case Action.REMOVAL:
            if overdue_for_removal(subject.stored.registered_at, change.file.submission.received_at):
                yield Anomaly(code=Code.REMOVAL_TOO_LATE, path=element)
            if subject.others_acted:
                yield Anomaly(code=Code.ACTED_ON_BY_OTHERS, path=element)
        case Action.SEPARATION if _leaver(change) is None:
            yield Anomaly(code=Code.NOT_OF_THE_COUPLE, path=f"{change.path}/personnePhysique/demandeur")


def _leaver(change: Change) -> Signer | None:
    """Who of the couple files the request; None when it is no couple's, or somebody else files it."""
    couple, form = change.subject.version.signers, change.request.form
    filing = signers(form)[:1] if form is not None else ()
    return next((one for one in couple for other in filing if one.key == other.key), None) if len(couple) > 1 else None


# Effects


def _changed(change: Change, day: date) -> Version:
    """How the request stands afterwards; adds the warnings that go with it."""
    before, form = change.subject.version, change.request.form
    life = _life(change, before.life, day)
    if form is None:
        return replace(before, life=life)
    assert before.form is not None, "nobody is known to hold a request that was erased"
    if form.deposited_on != life.deposited_on:
        change.warnings += (Anomaly(code=Code.DEPOSIT_KEPT, path=f"{change.path}/dateCreationDemande"),)
    kept = form.model_copy(update={"deposited_on": life.deposited_on})
    if without_nir(kept) == before.form.model_copy(update={"desk": form.desk}):
        kept = before.form  # it only comes from another desk
    return Version.of(life, kept, numbers_kept(form, before.form, before.nirs))


def _life(change: Change, life: Life, day: date) -> Life:
    match change.action:
        case Action.RENEWAL if day < life.renewal_opens_on():
            change.warnings += (Anomaly(code=Code.RENEWED_ALREADY, path=change.element),)
            return life
        case Action.RENEWAL:
            return life.renewed(day)
        case Action.DEREGISTRATION:
            motive = change.request.deregistration and change.request.deregistration.motive
            assert motive, "without a motive it is a reactivation"
            return life.deregistered(motive, day)
        case Action.EXPIRY:
            return life.expired()
        case Action.REACTIVATION:
            return life.reactivated(day)
        case Action.REMOVAL:
            return life.removed(day)
        case _:
            return life


def _separate(creation: Creation, change: Change) -> None:
    """The new request is as old as the couple's, and never ends before it; the couple's goes on without the leaver."""
    couple, leaver, form = change.subject.version, _leaver(change), creation.form
    assert couple.form is not None, "nobody is known to hold a request that was erased"
    assert leaver is not None, "somebody of the couple leaves"
    assert form.deposited_on is not None, "the rules refuse a request without a date of deposit"
    begun = couple.life.renewed_on or couple.life.deposited_on
    creation.life = Life.beginning(couple.life.deposited_on, separated_on=max(begun, form.deposited_on))
    creation.nirs = numbers_kept(form, couple.form, couple.nirs)
    creation.claims = signers(form, creation.nirs)
    left = separation.without(couple.form, leaver.element)
    change.judged(Version.of(couple.life, left, numbers_kept(left, couple.form, couple.nirs)))
