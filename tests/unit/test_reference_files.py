"""Files of reference data: read whole, or refused with every fault by line and column."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.attestation.reference_files import FAULTS_SHOWN, ReferenceFileError, read
from mailflow.core.numbers import DEPARTMENTS, ILE_DE_FRANCE, TERRITORIES, Territory, departments_of
from mailflow.core.reference import Commission, Landlord
from tests.support.documents import ROOT

LANDLORDS = "commune;siren;bailleur\n"
COMMISSIONS = "departement;commission;adresse;delaiMois\n"


def refused(text: str | bytes) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ReferenceFileError) as error:
        read(content)
    return str(error.value).splitlines()


def test_a_spreadsheet_is_read() -> None:
    content = b"\xef\xbb\xbf# remarque\r\n\r\ncommune;siren;bailleur\r\n59350;999000011; \"L'un ; l'autre\" \r\n;;\r\n"
    assert read(content).landlords == (Landlord(municipality="59350", siren="999000011", name="L'un ; l'autre"),)
    held = read((COMMISSIONS + "2A;Commission;1 cours, 20000 Ajaccio;6").encode())
    commission = Commission(department="2A", name="Commission", address="1 cours, 20000 Ajaccio", delay_months=6)
    assert (held.landlords, held.commissions) == (None, (commission,))
    assert read(LANDLORDS.encode()).landlords == ()


def test_every_fault_is_told_with_its_line_and_column() -> None:
    text = (
        LANDLORDS
        + "59350;999000012;Un\n1001;999000011;\n59350;999000011\n# remarque\n59350;999000011;Un\n59350;999000011;Deux\n"
        + f"59355;999000011;Un\n59350;999000029;{'x' * 201}\n59350;999000037;张\n"
    )
    assert refused(text) == [
        "line 2, column siren: is no SIREN: nine digits with their sum",
        "line 3, column commune: is no municipality: give the INSEE code, with its zeros in front",
        "line 3, column bailleur: is empty",
        "line 4: has 2 columns instead of 3 (commune;siren;bailleur)",
        "line 7, column commune: is there already, in line 6",
        "line 8, column commune: is a municipality no more: it is part of 59350",
        "line 9, column bailleur: has more than 200 characters",
        "line 10, column bailleur: holds a sign that cannot be printed",
    ]
    assert refused(COMMISSIONS + "20;Commission;Rue;0\n59;Commission;Rue;six\n59;Commission;Rue;9999999999\n") == [
        "line 2, column delaiMois: should be a number of months, 1 to 120",
        "line 2, column departement: is no département: 59, 2A, 974",
        "line 3, column delaiMois: should be a number of months, 1 to 120",
        "line 4, column delaiMois: should be a number of months, 1 to 120",
    ]


def test_another_kind_of_file_is_refused() -> None:
    assert refused("commune,siren\n")[0].startswith("line 1: should name the columns commune;siren;bailleur or dep")
    assert refused("")[0].startswith("line 1: should name the columns")
    assert refused(LANDLORDS.encode() + "59350;999000011;Cité".encode("latin-1")) == [
        "line 2: is not UTF-8; save the file as CSV UTF-8"
    ]


def test_faults_without_end_are_counted() -> None:
    lines = refused(LANDLORDS + "1;2;x\n" * 30)
    assert (len(lines), lines[-1]) == (FAULTS_SHOWN + 1, "and 40 more")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (LANDLORDS + text).encode()))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(ReferenceFileError):
        read(content)


def test_the_samples_can_be_loaded() -> None:
    assert read((ROOT / "config/bailleurs.csv").read_bytes()).landlords
    assert read((ROOT / "config/commissions.csv").read_bytes()).commissions


def test_the_territories_are_made_up_of_the_departements() -> None:
    parts = [department for territory in TERRITORIES for department in departments_of(territory)]
    assert sorted(parts) == list(DEPARTMENTS)
    assert len(departments_of(ILE_DE_FRANCE)) == 8
    assert departments_of(Territory("974")) == ("974",)
    assert departments_of(Territory("02A")) == ("2A",)
    assert departments_of(Territory("000")) == ()
