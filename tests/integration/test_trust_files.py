"""Trust files: read when something is new, and told by name when they cannot be."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mailflow.core.model import Directory
from mailflow.errors import Misconfigured
from mailflow.mail.trust import Trust
from mailflow.mail.trust_files import TrustFiles, files_in
from mailflow.selftest import points
from mailflow.selftest.points import Fault, Point, Run
from tests.faults.files import ERRORS, listen
from tests.support.pki import shared_pki
from tests.support.trust import WINDOW

DIRECTORY = Directory(generation=1, senders=(), desks={})


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    return shared_pki().write(tmp_path)


@pytest.fixture
def files(trust: Path) -> TrustFiles:
    return TrustFiles(
        anchors=trust / "anchors",
        intermediates=trust / "intermediates",
        revocation_lists=trust / "crls",
        window=WINDOW,
    )


async def test_everything_in_the_folders_is_read(files: TrustFiles) -> None:
    material = await files.material(DIRECTORY)
    pki = shared_pki()
    assert material.anchors == pki.anchors
    assert set(material.intermediates) == set(pki.intermediates)
    assert len(material.crls) == len(pki.crls())
    assert (material.directory, material.window) == (DIRECTORY, WINDOW)
    assert Trust(material).lists.unusable == ()


async def test_while_nothing_changes_it_is_the_same_object(files: TrustFiles) -> None:
    assert await files.material(DIRECTORY) is await files.material(DIRECTORY)


async def test_a_file_in_der_and_several_in_one_are_read_and_hidden_ones_are_not(
    files: TrustFiles, trust: Path
) -> None:
    (trust / "anchors/root.pem").unlink()
    (trust / "anchors/any name").write_bytes(shared_pki().root.identity.der)
    (trust / "anchors/.half-written").write_bytes(b"-----BEGIN")
    (trust / "anchors/folder").mkdir()
    (trust / "intermediates/all.pem").write_bytes(shared_pki().stranger.identity.pem * 2)
    material = await files.material(DIRECTORY)
    assert material.anchors == shared_pki().anchors
    assert material.intermediates.count(shared_pki().stranger.identity.der) == 2


@pytest.mark.parametrize("change", ["added", "removed", "replaced", "touched"])
async def test_what_is_new_is_read(files: TrustFiles, trust: Path, change: str) -> None:
    before = await files.material(DIRECTORY)
    file = trust / "intermediates/issuing-rsa.pem"
    match change:
        case "added":
            (trust / "intermediates/more.pem").write_bytes(shared_pki().stranger.identity.pem)
        case "removed":
            file.unlink()
        case "replaced":
            fresh = trust / ".fresh"
            fresh.write_bytes(shared_pki().stranger.identity.pem)
            fresh.rename(file)
        case "touched":
            os.utime(file, ns=(1, 1))
    after = await files.material(DIRECTORY)
    assert after is not before
    assert len(after.intermediates) == len(before.intermediates) + {"added": 1, "removed": -1}.get(change, 0)
    assert await files.material(DIRECTORY) is after


async def test_new_enrolments_are_new_material(files: TrustFiles) -> None:
    before = await files.material(DIRECTORY)
    after = await files.material(replace(DIRECTORY, generation=2))
    assert after is not before
    assert after.directory.generation == 2


@pytest.mark.parametrize("octets", [b"", b"bonjour", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"])
async def test_a_file_that_holds_nothing_is_told_by_name_and_read_once_mended(
    files: TrustFiles, trust: Path, octets: bytes
) -> None:
    whole = (trust / "anchors/root.pem").read_bytes()
    before = await files.material(DIRECTORY)
    (trust / "anchors/root.pem").write_bytes(octets)
    for _ in range(2):
        with pytest.raises(Misconfigured, match=r"root\.pem.*expected PEM or DER"):
            await files.material(DIRECTORY)
    (trust / "anchors/root.pem").write_bytes(whole)
    assert (await files.material(DIRECTORY)).anchors == before.anchors


async def test_a_folder_that_is_missing_is_told_by_name(files: TrustFiles, trust: Path) -> None:
    for file in (trust / "crls").iterdir():
        file.unlink()
    (trust / "crls").rmdir()
    with pytest.raises(Misconfigured, match=r"crls: cannot be read"):
        await files.material(DIRECTORY)


async def test_a_link_to_nothing_is_no_file(files: TrustFiles, trust: Path) -> None:
    (trust / "crls/gone.pem").symlink_to(trust / "nowhere")
    assert (await files.material(DIRECTORY)).crls


@pytest.mark.parametrize("how", ERRORS)
def test_a_folder_that_cannot_be_read_is_never_taken_for_an_empty_one(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "1.key").touch()
    assert files_in(folder, "*.key") == [folder / "1.key"]
    listen(tmp_path)
    points.begin(Run(Fault(point=Point(kind="file", name="listdir keys", nth=1), how=how)))
    try:
        with pytest.raises(Misconfigured, match="keys: cannot be read"):
            files_in(folder, "*.key", may_be_missing=True)
    finally:
        points.begin(None)
    assert files_in(tmp_path / "none", may_be_missing=True) == []
