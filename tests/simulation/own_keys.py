"""The service's own keys, in files of this process."""

import atexit
import tempfile
from functools import cache
from pathlib import Path

from mailflow.core.service_keys import SETTINGS_SINCE, KeyUse
from mailflow.demo.certificates import Identity
from mailflow.mail.key_files import KeyFile, KeyFiles
from tests.simulation.cast import the_cast
from tests.simulation.world import World


@cache
def key_folder() -> Path:
    """The service's keys in files; of the next ones nothing is on record yet. To be made outside of any story: a folder
    is named by chance."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path, cast = Path(folder.name), the_cast()
    _write(path / "service", cast.service)
    for use in KeyUse:
        _write(path / f"{use}-next", cast.service_next)
    return path


def _write(path: Path, identity: Identity) -> None:
    path.with_suffix(".pem").write_bytes(identity.pem)
    path.with_suffix(".key").touch(mode=0o600)
    path.with_suffix(".key").write_bytes(identity.key_pem)


def key_files(world: World | None = None) -> KeyFiles:
    """Without a world for who does not ask which serve now."""
    folder = key_folder()
    signing, decryption = (
        KeyFile(use=use, name=use, key=folder / "service.key", certificate=folder / "service.pem")
        for use in (KeyUse.SIGNING, KeyUse.DECRYPTION)
    )
    clock = world.clock if world else lambda: SETTINGS_SINCE
    return KeyFiles(signing=signing, decryption=(decryption,), former=None, folder=folder, clock=clock)
