"""What was decided in bad weather, by two workers that were killed again and again, is decided again the same."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from mailflow.core.anomalies import Code
from mailflow.core.model import Environment
from mailflow.mail.judge import Unjudged
from mailflow.mail.model import Verdict
from mailflow.mail.pool import TaskFailed
from mailflow.register import Register, decided, directory
from mailflow.register.cases import Filter
from mailflow.registrar import Terms
from mailflow.review.comparison import Difference, Unit
from mailflow.review.scratch import scratch_register
from mailflow.review.shadow import Shadow
from tests.simulation.letters import KILLS
from tests.simulation.nights import VAULT
from tests.simulation.registers import SqliteCopies
from tests.simulation.run import Run
from tests.simulation.service import InProcess, TrustShelf
from tests.simulation.simulation import WHOLE_EVERY, play
from tests.simulation.story import Story

MAILS_MAX = 1_000
SUSPENDED = (Code.SENDER_SUSPENDED,)
"""Of what was refused while its sender was suspended, who is not any more."""


class Pooled(InProcess):
    """As in a pool: whatever kills the process that judges it costs a task."""

    async def judge(self, mails: Sequence[Unjudged], at: datetime) -> list[Verdict | None]:
        if any(mail.raw.startswith(KILLS) for mail in mails):
            raise TaskFailed("died", "exit-1")
        return await super().judge(mails, at)


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, *(pytest.param(number, marks=pytest.mark.long) for number in (1, 2))])
def test_a_story_is_replayed_as_it_was(number: int, tmp_path: Path) -> None:
    url = SqliteCopies(folder=tmp_path).fresh()
    found: Counter[Difference] = Counter()
    requests: list[Unit] = []

    async def replay(run: Run) -> list[str]:
        if len(run.house.suspensions) % 2:
            await run.house.toggle_suspect()
        register, judges = Register.open(url, VAULT, read_only=True), Pooled(run.house)
        async with register.read() as tx:
            enrolled = await directory.read(tx)
            await judges.serve(await TrustShelf(run.house).material(enrolled))
            terms = Terms(directory=enrolled, environment=Environment.PRODUCTION)
            async with scratch_register(enrolled.generation) as made:
                shadow = Shadow(tx=tx, judges=judges, terms=terms, scratch=made, at=run.world.now)
                async for mail in shadow.replay(await decided.choose(tx, Filter(), MAILS_MAX)):
                    same_terms = [one for one in mail.outcomes if one.gone != SUSPENDED]
                    found.update(one.difference for one in same_terms)
                    requests.extend(one.unit for one in mail.outcomes if one.unit.file)
        await register.close()
        return []

    assert play(Story(number * WHOLE_EVERY), url, replay) == []
    assert found.pop(Difference.NOT_COMPARABLE) == 1, "the mail of long ago, which is not there any more"
    assert set(found) == {Difference.SAME}
    assert found.total() > 10
    assert len(requests) > 10, "and what was refused as a mail is not all of it"
