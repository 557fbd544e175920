"""Reference data: loaded as a whole, each loading an edition on record; looked up by place."""

from mailflow.core.numbers import ILE_DE_FRANCE, Territory
from mailflow.core.reference import Commission, Landlord
from mailflow.register import Register, reference
from tests.support.records import NOW, rows

LILLE, LOMME, ROUBAIX, PARIS = "59350", "59355", "59512", "75056"
LOADING = reference.Loading(name="bailleurs.csv", digest="d" * 64, by="me", why="arrêté du 3 mai", at=NOW)
NORD = Commission(department="59", name="Commission du Nord", address="1 rue, 59000 Lille", delay_months=18)


def landlord(municipality: str, siren: str, name: str) -> Landlord:
    return Landlord(municipality=municipality, siren=siren, name=name)


async def load(register: Register, *landlords: Landlord) -> None:
    async with register.begin() as tx:
        await reference.replace_landlords(tx, landlords, LOADING)


async def test_each_loading_replaces_all_and_is_on_record(register: Register) -> None:
    await load(register, landlord(LILLE, "1", "Un"), landlord(ROUBAIX, "1", "Un"))
    await load(register, landlord(LILLE, "2", "Deux"))
    async with register.begin() as tx:
        await reference.replace_commissions(tx, [NORD], LOADING)
    async with register.read() as tx:
        assert await reference.landlords(tx) == {landlord(LILLE, "2", "Deux")}
        assert await reference.commissions(tx) == {"59": NORD}
        assert await reference.edition(tx) == 4
    entries = await rows(register, "SELECT kind, detail FROM journal ORDER BY id")
    assert [row.kind for row in entries] == ["reference-loaded"] * 3
    assert '"edition": 4' in entries[-1].detail
    assert '"digest": "ddd' in entries[-1].detail


async def test_places_are_looked_up_as_they_are_today(register: Register) -> None:
    await load(
        register,
        landlord(LILLE, "2", "Vilogia"),
        landlord(LILLE, "1", "Habitat"),
        landlord(LILLE, "3", "Habitat"),
        landlord(ROUBAIX, "1", "Habitat"),
    )
    async with register.begin() as tx:
        await reference.replace_commissions(tx, [NORD], LOADING)
    async with register.read() as tx:
        known = await reference.of_places(tx, [LOMME, PARIS])
        nothing = await reference.of_places(tx, [])
    assert known.landlords == {LILLE: ("Habitat", "Vilogia")}
    assert (known.commissions, known.edition) == ({"59": NORD}, 3)
    assert (nothing.landlords, nothing.commissions) == ({}, {})


async def test_what_is_known_of_a_territory_is_told_by_departement(register: Register) -> None:
    await load(register, landlord(PARIS, "1", "Un"), landlord(LILLE, "1", "Un"), landlord(ROUBAIX, "1", "Un"))
    async with register.begin() as tx:
        await reference.replace_commissions(tx, [NORD], LOADING)
    async with register.read() as tx:
        found = await reference.coverage(tx, [ILE_DE_FRANCE, Territory("059")])
    assert [(one.department, one.commission, one.municipalities) for one in found][:2] == [
        ("59", NORD, 2),
        ("75", None, 1),
    ]
    assert len(found) == 9
