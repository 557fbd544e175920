"""Keys of the service that follow each other: an operator stages them beside workers at work, and retires the former.

A desk that has heard of the next key may encrypt to it at once, whatever its mail is judged by.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from mailflow.core.service_keys import SETTINGS_SINCE, KeyUse, ServiceKey
from mailflow.mail import rotation
from mailflow.register import Register, service_keys
from tests.simulation.answers import AnyOpened, Opened, OpenedServiceCertificate
from tests.simulation.cast import the_cast
from tests.simulation.switch import ACT
from tests.simulation.world import World

TAKES_OVER = (timedelta(0), timedelta(minutes=30), timedelta(hours=3))
"""How long after it was staged the next key signs."""
OVERLAP = timedelta(days=90)


class Rotation:
    """In the operator's hands, in stories that have one."""

    def __init__(self, register: Register, world: World, at_step: int | None, takes_over: timedelta) -> None:
        self._register, self._world, self._at_step, self._takes_over = register, world, at_step, takes_over
        self.staged = False
        self.signs_from: datetime | None = None
        self.retired_at: datetime | None = None

    def is_due(self, step: int) -> bool:
        return self._at_step is not None and not self.staged and step >= self._at_step

    async def stage(self) -> None:
        """Both uses of the next key, each in a transaction of its own, and all senders are told."""
        await self._world.pause()
        now, following = self._world.now, the_cast().service_next
        signs_from = now + self._takes_over
        for use, active_from in ((KeyUse.DECRYPTION, now), (KeyUse.SIGNING, signs_from)):
            key = ServiceKey(fingerprint=following.fingerprint, use=use, active_from=active_from)
            async with self._register.begin() as tx:
                await rotation.stage(tx, key, following.der, ACT, domain="service.example", overlap=OVERLAP, at=now)
        self.signs_from, self.staged = signs_from, True
        self._world.tell(f"the operator: another key signs from {signs_from:%H:%M} on")

    async def retire(self) -> None:
        """The key that signed, once another does."""
        if self.signs_from is None or self.retired_at or self._world.now < self.signs_from:
            return
        former = ServiceKey(fingerprint=the_cast().service.fingerprint, use=KeyUse.SIGNING, active_from=SETTINGS_SINCE)
        async with self._register.begin() as tx:
            await service_keys.retire(tx, former, ACT, self._world.now)
        self.retired_at = self._world.now
        self._world.tell("the operator: the former key is retired")

    def findings(self, opened: Iterable[AnyOpened]) -> Iterator[str]:
        """Whoever may write to us is told once of each; and each mail is signed by the key whose time it was."""
        told = Counter[tuple[str, str]]()
        for message_id, one in {one.message_id: one for one in opened}.items():
            if isinstance(one, OpenedServiceCertificate):
                told[one.sender.code, one.use] += 1
            if one.signed_by_next and not (self.signs_from and self.signs_from <= one.at):
                yield f"{message_id} left signed by a key before its time"
            late = isinstance(one, Opened) and self.retired_at is not None and self.retired_at < one.decided_at
            if late and not one.signed_by_next:
                yield f"{message_id} is signed by a key that was retired"
        for sender in the_cast().senders:
            least = 0 if sender is the_cast().suspect else int(self.staged)
            for use in KeyUse:
                if not least <= told[sender.code, use] <= int(self.staged):
                    yield f"{sender.code} is told {told[sender.code, use]} times of the service's next {use} key"
