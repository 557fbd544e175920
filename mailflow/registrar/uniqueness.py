"""One active request per person and territory: who stands in the way, who may be the same, what is remembered.

Exact matches are refused by a constraint, so none is missed. Near ones are looked up: of two that are decided at the
same time in two transactions neither sees the other.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mailflow.core.anomalies import Code
from mailflow.core.identity import Profile, compare, near_keys
from mailflow.core.numbers import Territory, UniqueNumber
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
    """Tell each candidate, in their order, whom it may repeat: in the register, as those before it have changed that.

    Each person that is to be found from now on, those of requests that have other persons now too, learns its tokens.
    """
    claimed = [(candidate, signer) for candidate in candidates for signer in candidate.claims]
    anew = [(subject, signer) for subject in moved for signer in subject.version.holders]
    sought = [
        likeness.Sought(territory=owner.territory, keys=near_keys(signer.profile)) for owner, signer in claimed + anew
    ]
    found = iter(zip(sought, await likeness.find(tx, sought), strict=True))
    chunk = _Chunk()
    for candidate in candidates:
        chunk.move(candidate)
        for signer in candidate.claims:
            one, matches = next(found)
            if isinstance(candidate, Creation):
                candidate.tokens[signer.element] = matches.tokens
            owners = [*chunk.left(candidate, matches.known), *chunk.met(candidate, one)]
            candidate.near += _nearest(candidate, signer, owners)
        if isinstance(candidate, Creation):
            chunk.place(candidate, candidate.claims)
    for (subject, signer), (_, matches) in zip(anew, found, strict=True):
        subject.tokens[signer.element] = matches.tokens


@dataclass(slots=True)
class _Chunk:
    """Whom the candidates so far have moved, which the register learns at their end."""

    moved: dict[str, Change] = field(default_factory=dict)
    """The last change of the persons of each request."""
    under: dict[tuple[Territory, str], list[tuple[Creation | Change, Signer]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Who holds what, by the keys by which near matches meet."""

    def move(self, candidate: Creation | Change) -> None:
        """The request that it changes has other persons from now on."""
        change = candidate.change
        if change is not None and change.moves_persons:
            assert change.after is not None, "what moves persons was judged"
            self.moved[change.id] = change
            self.place(change, change.after.holders)

    def place(self, owner: Creation | Change, holders: Iterable[Signer]) -> None:
        """These are held by the owner's request from now on."""
        for signer in holders:
            for key in near_keys(signer.profile):
                if len(there := self.under[owner.territory, key]) < likeness.CANDIDATES_MAX:
                    there.append((owner, signer))

    def left(self, candidate: Creation | Change, known: Iterable[likeness.Known]) -> Iterator["_Owner"]:
        """Of those that the register knows, whom nobody has moved."""
        for one in known:
            if one.request_id not in self.moved and one.request_id != candidate.id:
                yield one.number, Profile(one.identity)

    def met(self, candidate: Creation | Change, sought: likeness.Sought) -> Iterator["_Owner"]:
        """Those whom the chunk itself has put under these keys."""
        own = {candidate.id, candidate.change.id if candidate.change else None}
        there = {id(one[1]): one for key in sought.keys for one in self.under.get((sought.territory, key), ())}
        for owner, signer in there.values():
            if owner.id not in own and self.moved.get(owner.id, owner) is owner:
                yield owner if isinstance(owner, Creation) else owner.number, signer.profile


_Owner = tuple[UniqueNumber | Creation, Profile]
"""A request, and somebody whom it holds."""


def _nearest(candidate: Candidate, signer: Signer, owners: Iterable[_Owner]) -> list[Near]:
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
    await likeness.forget(tx, [subject.id for subject in moved])
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
