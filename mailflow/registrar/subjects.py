"""Registered requests that a chunk is about: locked once, changed from turn to turn, written once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from mailflow.core.form import HousingRequest, without_nir
from mailflow.core.life import Life
from mailflow.core.model import RequestState
from mailflow.core.numbers import DeskCode, Territory, UniqueNumber
from mailflow.core.signers import Signer, signers
from mailflow.register import Transaction, history, nir, requests
from mailflow.register.requests import StoredRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """How a request stands: where in its life, what it says, and who would sign the lease."""

    life: Life
    form: HousingRequest | None = field(repr=False)
    """None once it was erased."""
    nirs: Mapping[str, str] = field(repr=False)
    """By where the member stands in the form, which holds none itself."""
    signers: tuple[Signer, ...] = field(repr=False)

    @classmethod
    def of(cls, life: Life, form: HousingRequest, nirs: Mapping[str, str]) -> "Version":
        """A version that says this."""
        bare = without_nir(form)
        return cls(life=life, form=bare, nirs=nirs, signers=signers(bare, nirs))

    @property
    def holders(self) -> tuple[Signer, ...]:
        """Those who can have no other active request in the territory because of this one."""
        return self.signers if self.life.state is RequestState.ACTIVE else ()

    @property
    def content(self) -> bytes | None:
        """What it says, as it is kept."""
        return None if self.form is None else content_of(self.form)


@dataclass(slots=True, kw_only=True)
class Subject:
    """A registered request, ours until the transaction ends."""

    stored: StoredRequest
    """As it was last read or written."""
    version: Version
    """As it stands after all that was decided so far."""
    stored_nirs: Mapping[str, str] = field(repr=False)
    dated_at: datetime
    """Of the last file that was applied to it."""
    others_acted: bool
    """Whether somebody else than the creating desk has done something to it; only known where it is asked."""
    named: set[object]
    """All persons that it names or may come to name in this chunk, by what is unique of them."""
    entries: list[history.Entry] = field(default_factory=list)
    """Of its history, to be written."""
    applied: bool = False
    """Whether anything was applied to it that is to be written."""
    persons_moved: bool = False
    """Whether its holders are no longer those that can be found by near matches."""
    tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By which each holder, by its element, is to be found."""

    @property
    def id(self) -> str:
        return self.stored.id

    @property
    def number(self) -> UniqueNumber:
        return self.stored.number

    @property
    def territory(self) -> Territory:
        return self.stored.territory

    @property
    def desk(self) -> DeskCode:
        """That created it."""
        return self.stored.desk

    @property
    def revision(self) -> int:
        return self.stored.revision + len(self.entries)

    @property
    def nirs_changed(self) -> bool:
        return dict(self.version.nirs) != dict(self.stored_nirs)

    @property
    def now(self) -> StoredRequest:
        """As it is to be written."""
        version = self.version
        return replace(
            self.stored,
            life=version.life,
            revision=self.revision,
            dated_at=self.dated_at,
            payload=version.content,
        )

    def written(self) -> None:
        """It stands in the register as it does here."""
        self.stored, self.stored_nirs = self.now, self.version.nirs
        self.entries = []
        self.applied = self.persons_moved = False


def content_of(form: HousingRequest) -> bytes:
    """What a request says, as it is kept: without NIR."""
    return without_nir(form).model_dump_json(by_alias=True, exclude_none=True).encode()


def persons_in(territory: Territory, found: Collection[Signer]) -> set[object]:
    """What nobody else may hold in the territory: identities and NIR."""
    keys: set[object] = {(territory, signer.key) for signer in found}
    return keys | {(territory, f"nir {signer.nir}") for signer in found if signer.nir}


async def open_subjects(tx: Transaction, numbers: Collection[str], removals: Collection[str]) -> dict[str, Subject]:
    """Those requests of `numbers` that exist, by number; nobody else changes them until the transaction ends.

    A few statements however many there are. `removals` are those of which others' acts are asked.
    """
    stored = await requests.lock(tx, numbers)
    kept = await nir.of(tx, [one.id for one in stored.values()])
    touched = await history.acted_on_by_others(tx, removals)
    return {number: _subject(one, kept.get(one.id, {}), number in touched) for number, one in stored.items()}


def _subject(stored: StoredRequest, nirs: Mapping[str, str], others_acted: bool) -> Subject:
    if stored.payload is None:
        version = Version(life=stored.life, form=None, nirs={}, signers=())
    else:
        version = Version.of(stored.life, HousingRequest.model_validate_json(stored.payload), nirs)
    return Subject(
        stored=stored,
        version=version,
        stored_nirs=version.nirs,
        dated_at=stored.dated_at,
        others_acted=others_acted,
        named=persons_in(stored.territory, version.signers),
    )
