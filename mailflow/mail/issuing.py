"""Attestations for the letters that are composed: as they were issued before, else typeset now and frozen.

They are frozen portion by portion, before the letter is composed: a mail of a thousand creations is never one long
task, and a kill costs one portion. What has been frozen is what is told, whoever froze it and however often.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from mailflow.attestation import Attestation
from mailflow.attestation.document import places_of
from mailflow.core.attested import Attested
from mailflow.mail.door import MailDoor
from mailflow.mail.letter import Attachment, Due
from mailflow.register import attestations, reference

PORTION = 50
"""Attestations that are typeset and frozen together: some 2 s of a core, shared by the processes."""
PDF = "application/pdf"

_STATED = TypeAdapter(Attested)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An attestation that is due, and the mail that it is due for."""

    due: Due
    intake_id: int

    @property
    def facts(self) -> attestations.Facts:
        stated = _STATED.dump_json(self.due.attested).decode()
        return attestations.Facts(number=self.due.number, stated=stated)


def named(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Each once; those of one name that state something else get `-2`, `-3`, so that none is saved over another."""
    facts: dict[str, list[attestations.Facts]] = {}
    kept = []
    for one in wanted:
        known = facts.setdefault(one.due.name, [])
        if one.facts in known:
            continue
        known.append(one.facts)
        stem, _, extension = one.due.name.rpartition(".")
        name = one.due.name if len(known) == 1 else f"{stem}-{len(known)}.{extension}"
        kept.append(replace(one, due=replace(one.due, name=name)))
    return kept


async def issue(door: MailDoor, wanted: Sequence[Wanted]) -> list[Attachment]:
    """The file of each, in order. Raises Unavailable, and TaskFailed when one of them cannot be typeset."""
    if not wanted:
        return []
    facts = [one.facts for one in wanted]
    places = {place for one in wanted for place in places_of(one.due.attested.form)}
    async with door.register.read() as tx:
        issued = await attestations.find(tx, facts)
        known = await reference.of_places(tx, places)
    missing = {fact: one for fact, one in zip(facts, wanted, strict=True) if fact not in issued}
    to_do = list(missing.items())
    for start in range(0, len(to_do), PORTION):
        portion = to_do[start : start + PORTION]
        pdfs = await door.judges.typeset(
            [
                Attestation(
                    number=fact.number, attested=one.due.attested, reference=known, environment=door.environment
                )
                for fact, one in portion
            ],
            door.clock(),
        )
        made = [
            attestations.Made(facts=fact, intake_id=one.intake_id, edition=known.edition, content=pdf)
            for (fact, one), pdf in zip(portion, pdfs, strict=True)
        ]
        async with door.register.begin() as tx:
            issued |= await attestations.freeze(tx, made, door.clock())
    return [
        Attachment(name=one.due.name, content=issued[fact], content_type=PDF)
        for fact, one in zip(facts, wanted, strict=True)
    ]
