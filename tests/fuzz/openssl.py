"""OpenSSL's reader and verifier of CMS, in this very process: a second opinion in microseconds.

The library that every Debian has, called without a copy of any of its code. It is asked about the signatures alone
(CMS_NO_SIGNER_CERT_VERIFY): whom to trust is no matter of the message.
"""

import ctypes
import ctypes.util
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

_BINARY, _NO_SIGNER_CERT_VERIFY = 0x80, 0x20
_BIO_CTRL_INFO = 3

_crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_crypto, name)
    function.restype, function.argtypes = result, arguments
    return function


_pointer = ctypes.c_void_p
_bio_of = _function("BIO_new_mem_buf", _pointer, ctypes.c_char_p, ctypes.c_int)
_bio_kind = _function("BIO_s_mem", _pointer)
_bio = _function("BIO_new", _pointer, _pointer)
_bio_free = _function("BIO_free_all", None, _pointer)
_bio_ctrl = _function("BIO_ctrl", ctypes.c_long, _pointer, ctypes.c_int, ctypes.c_long, _pointer)
_read_cms = _function("d2i_CMS_bio", _pointer, _pointer, _pointer)
_cms_free = _function("CMS_ContentInfo_free", None, _pointer)
_verify = _function("CMS_verify", ctypes.c_int, _pointer, _pointer, _pointer, _pointer, _pointer, ctypes.c_uint)
_add_certificate = _function("CMS_add1_cert", ctypes.c_int, _pointer, _pointer)
_read_certificate = _function("d2i_X509_bio", _pointer, _pointer, _pointer)
_certificate_free = _function("X509_free", None, _pointer)
_clear_errors = _function("ERR_clear_error", None)


def signed_content(cms: bytes, detached: bytes | None, certificates: Sequence[bytes] = ()) -> bytes | None:
    """The content when OpenSSL finds every signature over it right; None when it does not, or cannot read it.

    `certificates`: DER, of signers that the message may leave out.
    """
    with ExitStack() as stack:
        stack.callback(_clear_errors)

        def reader(octets: bytes) -> Any:
            bio = _bio_of(octets, len(octets))
            stack.callback(_bio_free, bio)
            return bio

        message = _read_cms(reader(cms), None)
        if not message:
            return None
        stack.callback(_cms_free, message)
        for der in certificates:
            certificate = _read_certificate(reader(der), None)
            stack.callback(_certificate_free, certificate)
            _add_certificate(message, certificate)
        out = _bio(_bio_kind())
        stack.callback(_bio_free, out)
        content = None if detached is None else reader(detached)
        if _verify(message, None, None, content, out, _BINARY | _NO_SIGNER_CERT_VERIFY) != 1:
            return None
        start = ctypes.c_void_p()
        length = _bio_ctrl(out, _BIO_CTRL_INFO, 0, ctypes.addressof(start))
        return ctypes.string_at(start, length) if length else b""
