"""The service's own keys, as the settings name them."""

from collections.abc import Callable
from datetime import datetime

from mailflow.core.service_keys import KeyUse
from mailflow.mail.key_files import KeyFile, KeyFiles
from mailflow.mail.notary import ServiceNotary
from mailflow.settings import Settings


def key_files(settings: Settings, clock: Callable[[], datetime]) -> KeyFiles:
    """Where they are; nothing is read yet."""
    keys = settings.keys
    return KeyFiles(
        signing=KeyFile(
            use=KeyUse.SIGNING,
            name="signing",
            key=keys.signing_key_file,
            certificate=keys.signing_certificate_file,
            chain=keys.signing_chain_file,
        ),
        decryption=tuple(
            KeyFile(
                use=KeyUse.DECRYPTION, name=f"decryption-{number}", key=one.key_file, certificate=one.certificate_file
            )
            for number, one in enumerate(keys.decryption, 1)
        ),
        former=keys.signing_former_file,
        folder=keys.service_dir,
        clock=clock,
    )


def make_notary(settings: Settings, clock: Callable[[], datetime]) -> ServiceNotary:
    """Who signs heads of the journal, and proves them. Key and certificate are read when they are needed."""
    files = key_files(settings, clock)
    return ServiceNotary(signs=lambda keys, at: files.signs(keys, at).pair(), known=files.known_signing)
