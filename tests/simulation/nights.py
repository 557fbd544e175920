"""What else happens to a service at work: its jobs, and master keys that follow each other."""

from dataclasses import replace

from mailflow.jobs import work
from mailflow.jobs.daily import JOBS
from mailflow.jobs.dispatch import DISPATCH_JOB
from mailflow.jobs.loose_keys import LOOSE_KEYS
from mailflow.jobs.work import Job, JobTerms
from mailflow.mail.door import MailDoor
from mailflow.mail.notary import ServiceNotary
from mailflow.register import Register, masters
from mailflow.register.vault import Vault
from tests.simulation.own_keys import key_files
from tests.support.jobs import TERMS

MASTERS = ("test", "next", "third")
"""In the order in which they follow each other; the first is that of the registers that are copied."""
VAULT = Vault(
    {name: name[:1].encode() * 32 for name in MASTERS} | {"test": b"m" * 32}, first="test", lookup_key=b"l" * 32
)
NOTARY = ServiceNotary(
    signs=lambda keys, at: key_files().signs(keys, at).pair(), known=lambda: key_files().known_signing()
)
JOB_TERMS: JobTerms = replace(TERMS, domain="service.example", notary=NOTARY)


class JobTurn:
    """A job as a stage of a worker: all that is due."""

    def __init__(self, job: Job) -> None:
        self.job = job

    async def __call__(self, door: MailDoor) -> int:
        return await work.run(door.register, self.job, JOB_TERMS, door.clock())


JOB_TURNS = tuple(JobTurn(job) for job in JOBS)
SWEEP, NEWS = JobTurn(LOOSE_KEYS), JobTurn(DISPATCH_JOB)


async def next_master(register: Register) -> str:
    """An operator has another master key wrap from now on."""
    async with register.keys.begin() as store:
        now = await masters.current(store, register.vault)
        following = MASTERS[(MASTERS.index(now) + 1) % len(MASTERS)]
        await masters.make_current(store, register.vault, following)
    return following


async def forget_former_masters(register: Register) -> None:
    """Once the job has wrapped everything anew nobody needs them. Raises ConstraintViolated when somebody does."""
    async with register.keys.begin() as store:
        for master in await masters.known(store):
            if not master.current:
                await masters.remove(store, master.name)
