"""Settings that say whom the service believes, and where it asks whether it still may."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mailflow.settings.section import Section
from mailflow.settings.values import Count, Fingerprint, Folder, HostName, Oid, Text, Url


class Group(Section):
    """Senders with rules of their own: what is given here holds for them instead of what [trust] says."""

    senders: tuple[Text, ...] = Field(min_length=1, examples=[["ville"]])
    """Codes of the senders, each in one group at most."""
    anchors: tuple[Fingerprint, ...] = ()
    """SHA-256 fingerprints of the anchors that their certificates may chain to. Empty: any in trust.anchors_dir."""
    issuers: tuple[Fingerprint, ...] = ()
    """SHA-256 fingerprints of the authorities that may have issued their certificates. Empty: any."""
    certificate_policies: tuple[Oid, ...] = ()
    """Certificate policies (OIDs): their paths must hold under one of them. Empty: as trust.certificate_policies."""


class Trust(Section):
    """Which certificates are believed, beside being enrolled."""

    anchors_dir: Folder = Path("trust/anchors")
    """Folder of PEM or DER files: the authorities that a sender's certificate must chain to."""
    intermediates_dir: Folder = Path("trust/intermediates")
    """Folder of PEM or DER files: certificates that complete a path or sign revocation lists; they prove nothing."""
    crls_dir: Folder = Path("trust/crls")
    """Folder of PEM or DER files: each authority's present revocation lists, with deltas; without, no acceptance."""
    certificate_policies: tuple[Oid, ...] = ()
    """Certificate policies (OIDs): a sender's path must hold under one of them. Empty: any, and none."""
    mail_usage_required: bool = False
    """Whether a sender's certificate must name emailProtection; otherwise it may state no extended usage at all."""
    groups: tuple[Group, ...] = ()
    """Senders with rules of their own: what is given here holds for them instead of what [trust] says."""
    successor_at_once: bool = False
    """Whether a certificate that a sender's own signed mail offers, to follow its present one, is enrolled at once;
    else it waits for `mailflow sender accept`: the present one still serves, and a stolen key makes itself no heir."""
    signing_time_before_days: Count = 7
    """How long before its arrival a mail may have been signed."""
    signing_time_after_minutes: Count = 5
    """How far a sender's clock may be ahead of ours."""

    @model_validator(mode="after")
    def _one_group_each(self) -> Self:
        grouped = [code for group in self.groups for code in group.senders]
        if len(grouped) != len(set(grouped)):
            raise PydanticCustomError("groups", "each sender should be in one of trust.groups at most")
        return self


class Revocation(Section):
    """Revocation data that are fetched by HTTP, ahead of time, into the register: beside trust.crls_dir, or instead."""

    urls: tuple[Url, ...] = ()
    """Addresses of revocation lists, complete or delta, that are fetched whatever certificates state."""
    hosts: tuple[HostName, ...] = ()
    """Hosts, `name` or `name:port`, that enrolled certificates and configured authorities may name as where their
    lists and OCSP responders are. Elsewhere nobody is asked, and nothing that a mail states is followed."""
    every_minutes: Count = 60
    """Time until a source is asked again; one that fails is asked again after five."""
    bytes_max: Count = 33_554_432
    """Size of one list or answer."""
    seconds_max: Count = 60
    """Longest time for one answer."""
