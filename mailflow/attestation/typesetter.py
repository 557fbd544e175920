"""The typesetter: the only module that knows typst. Template and fonts come with the release, content as data.

The same attestation gives the same octets: no clock, no font of the machine, no file but the template is read.
What is asked of the PDF is PDF/UA-1 (ISO 14289-1); typst refuses to write one in which it finds a fault.
"""

import json
from contextlib import suppress
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from mailflow.attestation.document import Attestation, content
from mailflow.errors import MailflowError

if TYPE_CHECKING:
    import typst  # large: only who typesets loads it, which is a process of the pool

_NOWHERE = "/dev/null"
"""Where the typesetter may look for files and packages: the template needs none, and none is fetched."""
_WAYS: tuple[tuple[str, Literal["ua-1"] | None], ...] = (("no", "ua-1"), ("yes", "ua-1"), ("yes", None))
"""One after the other until one succeeds: whether the template measures what fits on the first page; PDF/UA."""


class CannotTypeset(MailflowError):
    """The typesetter refused; a fault of the template, since all content is data."""


def typeset(attestation: Attestation) -> bytes:
    """The attestation as a tagged PDF. Raises CannotTypeset.

    One that the typesetter finds a fault in goes without the claim to be PDF/UA, because an applicant who cannot read
    all of it is helped more than one who has none.
    """
    import typst

    octets = json.dumps(content(attestation), ensure_ascii=False)
    for measured, standard in _WAYS:
        with suppress(typst.TypstError):  # its message may hold content
            return _compile({"content": octets, "measured": measured}, standard)
    raise CannotTypeset("the attestation cannot be typeset")


def _compile(inputs: dict[str, str], standard: Literal["ua-1"] | None) -> bytes:
    made = _compiler().compile(
        input=_template(), format="pdf", sys_inputs=inputs, pdf_standards=standard or [], timestamp=0
    )
    assert isinstance(made, bytes)
    return made


@cache
def _template() -> bytes:
    return files("mailflow.attestation").joinpath("data/attestation.typ").read_bytes()


@cache
def _compiler() -> "typst.Compiler":
    import typst

    return typst.Compiler(
        _template(), root=_NOWHERE, ignore_system_fonts=True, package_path=_NOWHERE, package_cache_path=_NOWHERE
    )
