"""Who sent some mails that are not decided, each for itself: one that breaks the judge does not hide the others."""

from collections.abc import Sequence
from datetime import datetime

from mailflow.core.anomalies import Anomaly, Code
from mailflow.mail.door import Judges
from mailflow.mail.judge import Unjudged
from mailflow.mail.model import Recognition, Undetermined
from mailflow.mail.pool import TaskFailed


async def recognise(judges: Judges, mails: Sequence[Unjudged], *, at: datetime) -> list[Recognition]:
    """All at once; when that fails one by one. Of one that breaks it cannot be told who sent it. Raises Unavailable."""
    try:
        return list(await judges.recognise(mails, at))
    except TaskFailed as error:
        if len(mails) == 1:
            return [Undetermined(anomaly=Anomaly(code=Code.INTERNAL_FAULT), detail=error.what)]
    return [one for mail in mails for one in await recognise(judges, [mail], at=at)]
