"""One active request per person and territory: who stands in the way, who may be the same, what is remembered.

Exact matches are refused by a constraint, so none is missed. Near ones are looked up: of two that are decided at the
same time in two transactions neither sees the other.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailflow.core.anomalies import Code
from mailflow.core.identity import Profile, compare, near_keys
from mailflow.core.numbers import UniqueNumber
from mailflow.core.signers import Signer
from mailflow.errors import Unavailable
from mailflow.register import Transaction, duplicates, homonyms, identities, journal, likeness, nir, requests
from mailflow.register.identities import IdentityClaim, Rival
from mailflow.register.vault import ContentKey
from mailflow.registrar.subjects import Subject
from mailflow.registrar.work import Candidate, Change, Creation, Known, Near

NEAR_MAX = 5
"""How many near matches of one person are kept and told."""


# Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What one person of a candidate claims."""

    candidate: Creation | Change
    signer: Signer
    ordinal: int = 0

    @property
    def row(self) -> IdentityClaim:
        return IdentityClaim(
            territory=self.candidate.territory,
            key=self.signer.key,
            ordinal=self.ordinal,
            request_id=self.candidate.id,
            nir=self.signer.nir,
        )

    @property
    def release(self) -> homonyms.Release:
        desk = self.candidate.file.file.desk
        return homonyms.Release(territory=self.candidate.territory, key=self.signer.key, desk=desk)


async def claim_persons(
    tx: Transaction, candidates: Sequence[Creation | Change], chunk: Mapping[str, Candidate]
) -> None:
    """Make the identities of these candidates theirs; who comes second is refused. No two share a person."""
    lost = await _claim(tx, [_Claim(candidate=c, signer=signer) for c in candidates for signer in c.claims])
    if not lost:
        return
    rivals = await identities.rivals(tx, [claim.row for claim in lost])
    released = await homonyms.granted(tx, {claim.release for claim in lost})
    beside: list[_Claim] = []
    losers: dict[str, Creation | Change] = {}
    for claim, others in zip(lost, rivals, strict=True):
        clash = _clash(claim.signer, others, released=claim.release in released)
        if clash is not None:
            code, rival = clash
            losers.setdefault(claim.candidate.id, claim.candidate)
            known = Known(number=rival.number) if rival.number else None
            claim.candidate.follow(rival.request_id, known, chunk, clash=code)
        else:
            ordinal = 1 + max((other.ordinal for other in others if other.same_identity), default=-1)
            beside.append(_Claim(candidate=claim.candidate, signer=claim.signer, ordinal=ordinal))
            claim.candidate.releases += (claim.release,) if claim.release in released else ()
    if await _claim(tx, [claim for claim in beside if claim.candidate.id not in losers]):
        raise Unavailable("a homonym is being registered by somebody else")  # both are decided again
    await requests.release(tx, [loser.id for loser in losers.values() if isinstance(loser, Creation)])
    changes = [loser for loser in losers.values() if isinstance(loser, Change)]
    await identities.withdraw(tx, [(change.id, signer.key) for change in changes for signer in change.claims])


async def _claim(tx: Transaction, claims: Sequence[_Claim]) -> list[_Claim]:
    """Those that somebody else holds."""
    ours = await identities.claim(tx, [claim.row for claim in claims]) if claims else set()
    return [claim for index, claim in enumerate(claims) if index not in ours]


def _clash(signer: Signer, rivals: Sequence[Rival], *, released: bool) -> tuple[Code, Rival] | None:
    """Why a person cannot be registered beside these, and which of them says so; None for a homonym.

    The NIR is the strongest key: the same one is the same person, whatever the names; two of them are two persons.
    """
    for rival in rivals:
        if rival.same_nir:
            return (Code.REQUEST_EXISTS if rival.same_identity else Code.NIR_EXISTS), rival
    for rival in rivals:
        if rival.same_nir is None and not released:
            return (Code.HOMONYM_POSSIBLE if signer.nir else Code.REQUEST_EXISTS), rival
    return None


# Near


async def find_near(tx: Transaction, candidates: Sequence[Creation | Change], moved: Sequence[Subject]) -> None:
    """Tell each candidate whom it may repeat: requests of the register, and those before it in this chunk.

    Each person that is to be found from now on, those of requests that have other persons now too, learns its tokens.
    """
    persons = [(candidate, signer) for candidate in candidates for signer in candidate.claims]
    anew = [(subject, signer) for subject in moved for signer in subject.version.holders]
    sought = [
        likeness.Sought(territory=owner.territory, keys=near_keys(signer.profile)) for owner, signer in persons + anew
    ]
    found = await likeness.find(tx, sought)
    before: dict[tuple[str, str], list[tuple[Creation | Change, Signer]]] = defaultdict(list)
    for (candidate, signer), one, matches in zip(persons, sought, found, strict=False):
        if isinstance(candidate, Creation):
            candidate.tokens[signer.element] = matches.tokens
        owners: list[tuple[UniqueNumber | Creation, Profile]] = [
            (known.number, Profile(known.identity)) for known in matches.known if known.request_id != candidate.id
        ]
        met = {id(other[1]): other for key in one.keys for other in before[candidate.territory, key]}
        owners += [
            (owner if isinstance(owner, Creation) else owner.number, other.profile)
            for owner, other in met.values()
            if owner.id != candidate.id
        ]
        candidate.near += _nearest(candidate, signer, owners)
        for key in one.keys:
            if len(before[candidate.territory, key]) < likeness.CANDIDATES_MAX:
                before[candidate.territory, key].append((candidate, signer))
    for (subject, signer), matches in zip(anew, found[len(persons) :], strict=True):
        subject.tokens[signer.element] = matches.tokens


def _nearest(
    candidate: Candidate, signer: Signer, owners: Iterable[tuple[UniqueNumber | Creation, Profile]]
) -> list[Near]:
    near = [
        Near(owner=owner, likeness=how, path=candidate.path_of(signer))
        for owner, profile in owners
        if (how := compare(signer.profile, profile)) is not None
    ]
    return near[:NEAR_MAX]


# Afterwards


async def remember(
    tx: Transaction,
    candidates: Sequence[Creation | Change],
    subjects: Sequence[Subject],
    keys: Mapping[UniqueNumber, ContentKey],
    at: datetime,
) -> None:
    """What is left of what was done: persons to be found, their NIR, their pairs for the manager."""
    creations = [candidate for candidate in candidates if isinstance(candidate, Creation)]
    moved = [subject for subject in subjects if subject.persons_moved]
    owners = [(c.id, c.number, c.claims, c.tokens) for c in creations]
    owners += [(s.id, s.number, s.version.holders, s.tokens) for s in moved]
    remembered = [
        likeness.Remembered(
            request_id=request_id,
            element=signer.element,
            identity=signer.identity,
            tokens=tokens[signer.element],
            key=keys[number],
        )
        for request_id, number, signers, tokens in owners
        if number is not None
        for signer in signers
    ]
    await likeness.remember(tx, remembered)
    given = {c.id: c.nirs for c in creations if c.nirs} | {s.id: s.version.nirs for s in subjects if s.nirs_changed}
    await nir.keep(tx, given, at)
    await homonyms.use_up(tx, [release for candidate in candidates for release in candidate.releases])
    pairs = [
        duplicates.Pair(
            territory=candidate.territory,
            number=candidate.number,
            other=near.number,
            likeness=near.likeness.value,
            found_at=at,
        )
        for candidate in candidates
        for near in candidate.near
        if candidate.number is not None and near.number is not None
    ]
    await duplicates.note(tx, pairs)
    await journal.append(
        tx,
        [
            journal.Entry(kind="near-match", number=p.number, detail={"other": p.other, "likeness": p.likeness})
            for p in pairs
        ],
        at,
    )
