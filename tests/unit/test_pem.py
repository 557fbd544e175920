"""PEM and DER: every structure of the wanted kind, or an error of its own."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailflow.mail import pem
from tests.support.pki import shared_pki


def armoured(der: bytes, label: str = pem.CERTIFICATE, line_end: str = "\n") -> bytes:
    lines = base64.encodebytes(der).decode().replace("\n", line_end)
    return f"-----BEGIN {label}-----{line_end}{lines}-----END {label}-----{line_end}".encode()


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_certificates_are_read_in_order(line_end: str) -> None:
    first, second = shared_pki().root.identity.der, shared_pki().issuing_ec.identity.der
    text = b"subject=/CN=x\n" + armoured(first, line_end=line_end) + b"\n# next\n" + armoured(second, line_end=line_end)
    assert pem.read_der(text, pem.CERTIFICATE) == (first, second)


def test_der_is_taken_as_it_is() -> None:
    der = shared_pki().root.identity.der
    assert pem.read_der(der, pem.CERTIFICATE) == (der,)


def test_other_labels_are_left_out() -> None:
    crl, certificate = shared_pki().crls()[0], shared_pki().root.identity.der
    text = armoured(crl, pem.REVOCATION_LIST) + armoured(certificate) + armoured(b"0key", "PRIVATE KEY")
    assert pem.read_der(text, pem.REVOCATION_LIST) == (crl,)
    assert pem.read_der(text, pem.CERTIFICATE) == (certificate,)
    with pytest.raises(pem.PemError, match="no CERTIFICATE in it"):
        pem.read_der(armoured(crl, pem.REVOCATION_LIST), pem.CERTIFICATE)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"bonjour",
        b"-----BEGIN CERTIFICATE-----\nQUJD\n",
        b"-----BEGIN CERTIFICATE-----\nQUJ\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nQU=JD\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_neither_is_refused(octets: bytes) -> None:
    with pytest.raises(pem.PemError):
        pem.read_der(octets, pem.CERTIFICATE)


@given(st.binary(max_size=80) | st.binary(max_size=40).map(armoured))
def test_for_any_octets_there_are_structures_or_the_error(octets: bytes) -> None:
    with contextlib.suppress(pem.PemError):
        assert all(pem.read_der(octets, pem.CERTIFICATE))


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=3))
def test_what_is_written_is_read(ders: list[bytes]) -> None:
    assert pem.read_der(b"".join(map(armoured, ders)), pem.CERTIFICATE) == tuple(ders)
