"""All chance is a seed's: what is signed, encrypted or named meanwhile is the same again, to the octet.

By chance a signature on a curve has an octet more or less, and so has its mail: then another mail might be the first
that does not fit into a chunk any more, and the same seed would tell another story. So it would by what is done in a
thread, which is over sooner or later as the machine is busy: it is done in the event loop.
"""

import asyncio
import contextlib
import os
import random
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec


@contextlib.contextmanager
def chance_of(seed: int | str) -> Iterator[None]:
    """Identifiers, keys on curves, nonces, signatures, threads, within the block. What meets has other seeds each."""
    keys = random.Random(f"{seed} keys")

    def generate(curve: ec.EllipticCurve, backend: Any = None) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(1 + keys.getrandbits(curve.key_size - 1), curve)

    async def here(work: Callable[..., Any], *arguments: Any) -> Any:
        await asyncio.sleep(0)
        return work(*arguments)

    with (
        mock.patch.object(asyncio, "to_thread", here),
        mock.patch.object(os, "urandom", random.Random(seed).randbytes),
        mock.patch.object(secrets, "token_bytes", random.Random(f"{seed} secrets").randbytes),
        mock.patch.object(ec, "generate_private_key", generate),
        # RFC 6979. Of the class nothing is replaced but a default: the library knows it by its identity.
        mock.patch.object(ec.ECDSA.__init__, "__defaults__", (True,)),
        mock.patch.dict(x509.CertificateBuilder.sign.__kwdefaults__, ecdsa_deterministic=True),
        mock.patch.dict(x509.CertificateRevocationListBuilder.sign.__kwdefaults__, ecdsa_deterministic=True),
    ):
        yield
