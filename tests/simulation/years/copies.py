"""What desks' programs make of it: each applies what it gets to a copy, in any order; some mails are lost."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mailflow.core.model import Environment, FileReceipt
from mailflow.jobs.orders import Dispatch
from mailflow.mail import holdings
from mailflow.mail.holdings import Holding
from mailflow.wire.writer import write_return
from tests.simulation.years.cast import DESKS
from tests.simulation.years.service import Service
from tests.support.jobs import file_of

LOST = 0.03


@dataclass(kw_only=True)
class Copies:
    """The copies of all desks that may consult."""

    rng: random.Random
    known: dict[str, dict[str, Holding]] = field(default_factory=lambda: defaultdict(dict))
    waiting: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    lost: list[tuple[str, int]] = field(default_factory=list)
    last: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """The number of each desk's last dispatch."""
    wrong: list[str] = field(default_factory=list)

    def answered(self, receipt: FileReceipt) -> None:
        """A desk gets its `RET`."""
        desk = receipt.file.desk
        if DESKS[desk].consults:
            self.waiting[desk].append(write_return(receipt, environment=Environment.PRODUCTION))

    def dispatched(self, orders: Sequence[Dispatch]) -> None:
        """Dispatches arrive, or do not."""
        for order in orders:
            if order.number != self.last[order.desk] + 1:
                self.wrong.append(f"dispatch {order.number} of {order.desk} follows {self.last[order.desk]}")
            self.last[order.desk] = order.number
            if self.rng.random() < LOST:
                self.lost.append((order.desk, order.number))
            else:
                self.waiting[order.desk].append(file_of(order))

    def read(self, *, all_of_it: bool = False) -> None:
        """Desks apply what they have got, when they come to it, in whatever order it lies there."""
        for desk, files in self.waiting.items():
            if all_of_it or self.rng.random() < 0.3:
                self.rng.shuffle(files)
                for file in files:
                    self.known[desk] = holdings.apply(self.known[desk], file)
                files.clear()

    async def catch_up(self, service: Service, at: datetime) -> Mapping[str, Mapping[str, Holding]]:
        """What was lost is sent again, and everything is read."""
        possible = [one for one in self.lost if DESKS[one[0]].acts_on(at.date())]
        for order in await service.tell_again(possible, at):
            self.waiting[order.desk].append(file_of(order))
        self.lost = [one for one in self.lost if one not in possible]
        self.read(all_of_it=True)
        return self.known
