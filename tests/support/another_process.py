"""Another process at work on the same register, until it is killed."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def another_process(program: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program that says `ready` and then goes on until it is killed, in the block or at its end."""
    command = [sys.executable, "-c", program, *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
