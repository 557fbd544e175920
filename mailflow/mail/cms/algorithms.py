"""The dated table of the algorithms and sizes of keys that this service accepts. Published in `schemas/`."""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from cryptography.hazmat.primitives import hashes

from mailflow.core.anomalies import Code
from mailflow.mail.cms.errors import CmsError

RSA_SIZES: tuple[tuple[int, date | None], ...] = ((2048, date(2030, 12, 31)), (3072, None))
"""Moduli from so many bits on, until that day (UTC): as the RGS has it (annexe B1, RègleFact-1 and RègleFact-2)."""
RSA_BITS_MIN = min(bits for bits, _ in RSA_SIZES)
RSA_BITS_MAX = 8192
"""Larger keys only cost time."""
RSA_EXPONENT_MIN = 65537
RSA_EXPONENT_BITS_MAX = 64
GCM_TAG_OCTETS_MIN = 12
GCM_NONCE_OCTETS = 12
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}

MGF1 = "1.2.840.113549.1.1.8"
RSA = "1.2.840.113549.1.1.1"
RSA_PSS = "1.2.840.113549.1.1.10"
RSA_OAEP = "1.2.840.113549.1.1.7"
ED25519 = "1.3.101.112"
EC_PUBLIC_KEY = "1.2.840.10045.2.1"
SHA256 = "2.16.840.1.101.3.4.2.1"
AES256_CBC = "2.16.840.1.101.3.4.1.42"
AES256_GCM = "2.16.840.1.101.3.4.1.46"
AES256_WRAP = "2.16.840.1.101.3.4.1.45"
ECDH_SHA256 = "1.3.132.1.11.1"

HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - in OAEP and key derivation only, see the table
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class Use(StrEnum):
    """What an algorithm may be used for; the same OID can stand under several."""

    DIGEST = "digest"
    SIGNATURE = "signature"
    KEY_TRANSPORT = "keyTransport"
    OAEP_DIGEST = "oaepDigest"
    KEY_AGREEMENT = "keyAgreement"
    KEY_WRAP = "keyWrap"
    CONTENT_ENCRYPTION = "contentEncryption"


class Scheme(StrEnum):
    """How a signature is made, or a content encrypted."""

    RSA_V15 = "rsa-pkcs1v15"
    RSA_PSS = "rsa-pss"
    ECDSA = "ecdsa"
    EDDSA = "ed25519"
    RSA_OAEP = "rsa-oaep"
    CBC = "cbc"
    GCM = "gcm"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row of the table."""

    use: Use
    oid: str
    name: str
    scheme: Scheme | None = None
    digest: str | None = None
    """The digest that the algorithm itself fixes."""
    key_octets: int = 0
    until: date | None = None
    """The last day (UTC) of acceptance; None: no end is set."""


_V15_SIGNATURES_END = date(2030, 12, 31)
_OLD_ENCRYPTION_END = date(2028, 12, 31)
_RSA_V15 = "1.2.840.113549.1.1"
_ECDSA = "1.2.840.10045.4.3"
_SHA2 = "2.16.840.1.101.3.4.2"
_AES = "2.16.840.1.101.3.4.1"

TABLE: tuple[Algorithm, ...] = (
    *(Algorithm(Use.DIGEST, f"{_SHA2}.{n}", name) for n, name in enumerate(("sha256", "sha384", "sha512"), 1)),
    Algorithm(Use.SIGNATURE, RSA, "rsa-pkcs1v15", Scheme.RSA_V15, until=_V15_SIGNATURES_END),
    *(
        Algorithm(
            Use.SIGNATURE, f"{_RSA_V15}.{n}", f"rsa-pkcs1v15-{name}", Scheme.RSA_V15, name, until=_V15_SIGNATURES_END
        )
        for n, name in enumerate(("sha256", "sha384", "sha512"), 11)
    ),
    Algorithm(Use.SIGNATURE, RSA_PSS, "rsa-pss", Scheme.RSA_PSS),
    *(
        Algorithm(Use.SIGNATURE, f"{_ECDSA}.{n}", f"ecdsa-{name}", Scheme.ECDSA, name)
        for n, name in enumerate(("sha256", "sha384", "sha512"), 2)
    ),
    Algorithm(Use.SIGNATURE, ED25519, "ed25519", Scheme.EDDSA, "sha512"),
    Algorithm(Use.KEY_TRANSPORT, RSA, "rsa-pkcs1v15", Scheme.RSA_V15, until=_OLD_ENCRYPTION_END),
    Algorithm(Use.KEY_TRANSPORT, RSA_OAEP, "rsa-oaep", Scheme.RSA_OAEP),
    # SHA-1 is no weakness in OAEP or in a key derivation, and `openssl cms` writes it by default.
    Algorithm(Use.OAEP_DIGEST, "1.3.14.3.2.26", "sha1"),
    *(Algorithm(Use.OAEP_DIGEST, f"{_SHA2}.{n}", name) for n, name in enumerate(("sha256", "sha384", "sha512"), 1)),
    # With and without cofactor: that of our curves is 1, so both agree on the same secret.
    Algorithm(Use.KEY_AGREEMENT, "1.3.133.16.840.63.0.2", "ecdh-sha1kdf", digest="sha1"),
    Algorithm(Use.KEY_AGREEMENT, "1.3.133.16.840.63.0.3", "cofactor-ecdh-sha1kdf", digest="sha1"),
    *(
        Algorithm(Use.KEY_AGREEMENT, f"1.3.132.1.{arc}.{n}", f"{kind}-{name}kdf", digest=name)
        for arc, kind in ((11, "ecdh"), (14, "cofactor-ecdh"))
        for n, name in enumerate(("sha256", "sha384", "sha512"), 1)
    ),
    *(
        Algorithm(Use.KEY_WRAP, f"{_AES}.{n}", f"aes{8 * octets}-wrap", key_octets=octets)
        for n, octets in ((5, 16), (25, 24), (45, 32))
    ),
    *(
        Algorithm(
            Use.CONTENT_ENCRYPTION,
            f"{_AES}.{n}",
            f"aes{8 * octets}-cbc",
            Scheme.CBC,
            key_octets=octets,
            until=_OLD_ENCRYPTION_END,
        )
        for n, octets in ((2, 16), (22, 24), (42, 32))
    ),
    *(
        Algorithm(Use.CONTENT_ENCRYPTION, f"{_AES}.{n}", f"aes{8 * octets}-gcm", Scheme.GCM, key_octets=octets)
        for n, octets in ((6, 16), (46, 32))
    ),
)

_BY_USE = {(row.use, row.oid): row for row in TABLE}


_ENDS = sorted({until for until in (*(row.until for row in TABLE), *(until for _, until in RSA_SIZES)) if until})


def era(at: datetime) -> int:
    """How many of the table's ends lie before the day of `at`: while this is the same, the same is allowed."""
    return bisect_left(_ENDS, at.astimezone(UTC).date())


def rsa_bits_min(at: datetime) -> int:
    """The smallest RSA modulus that is permitted on the day of `at`."""
    day = at.astimezone(UTC).date()
    return min(bits for bits, until in RSA_SIZES if until is None or day <= until)


def is_allowed(use: Use, oid: str, at: datetime) -> bool:
    """Whether the table permits this algorithm on the day of `at`."""
    row = _BY_USE.get((use, oid))
    return row is not None and (row.until is None or at.astimezone(UTC).date() <= row.until)


def allowed(use: Use, oid: str, at: datetime) -> Algorithm:
    """The row of an algorithm that is permitted on the day of `at`; else CmsError `ALGORITHM_REFUSED`."""
    if not is_allowed(use, oid, at):
        raise CmsError(Code.ALGORITHM_REFUSED, oid)
    return _BY_USE[use, oid]


def oid_of(use: Use, name: str) -> str:
    """The OID of a row by its name."""
    return next(row.oid for row in TABLE if (row.use, row.name) == (use, name))


def algorithm_table() -> dict[str, object]:
    """The table as plain data, for `schemas/algorithms.json`."""
    return {
        "keys": {
            "rsa": {
                "sizes": [{"bitsMin": bits, "until": until and until.isoformat()} for bits, until in RSA_SIZES],
                "bitsMax": RSA_BITS_MAX,
                "exponentMin": RSA_EXPONENT_MIN,
                "exponentBitsMax": RSA_EXPONENT_BITS_MAX,
            },
            "ec": {"curves": sorted(CURVES.values())},
            "ed25519": {},
        },
        "parameters": {
            "pss": {"mgf1Digest": "same as the signature's", "saltOctetsMin": "length of the digest", "trailer": 1},
            "gcm": {"tagOctetsMin": GCM_TAG_OCTETS_MIN, "nonceOctets": GCM_NONCE_OCTETS},
        },
        "algorithms": [
            {
                "use": row.use.value,
                "name": row.name,
                "oid": row.oid,
                "until": row.until.isoformat() if row.until else None,
            }
            for row in TABLE
        ],
    }
