"""Faults about keys of the service itself that follow each other."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest

from mailflow.core import service_keys
from mailflow.core.service_keys import KeyUse, ServiceKey
from mailflow.mail import key_files, rotation
from mailflow.mail.cms import ServiceKeys
from mailflow.mail.key_files import KeyFiles
from tests.simulation.mutants.planting import mutant

Keys = Iterable[ServiceKey]
LATEST = datetime.max.replace(tzinfo=UTC)


@mutant
def a_key_opens_nothing_before_its_time(patch: pytest.MonkeyPatch) -> None:
    read = KeyFiles.read

    def later(self: KeyFiles, keys: Keys) -> ServiceKeys:
        former = [key for key in keys if key.use is KeyUse.SIGNING]
        return replace(read(self, keys), decryption=read(self, former).decryption)

    patch.setattr(KeyFiles, "read", later)


@mutant
def the_next_key_signs_as_soon_as_it_is_staged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(key_files, "present", lambda keys, use, _: service_keys.present(keys, use, LATEST))


@mutant
def a_key_that_was_retired_signs_again(patch: pytest.MonkeyPatch) -> None:
    def present(keys: Keys, use: KeyUse, at: datetime) -> ServiceKey | None:
        return service_keys.present([replace(key, retired_at=None) for key in keys], use, at)

    patch.setattr(key_files, "present", present)


@mutant
def only_one_sender_is_told_of_a_key(patch: pytest.MonkeyPatch) -> None:
    turns = count()
    patch.setattr(rotation, "is_told", lambda sender: next(turns) % 4 == 0)
