"""What other processes make, no further ahead of who uses it than memory allows."""

from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import Pool
from threading import Semaphore
from typing import TypeVar

Task = TypeVar("Task")
Made = TypeVar("Made")


def ahead(pool: Pool, make: Callable[[Task], Made], tasks: Iterable[Task], *, most: int) -> Iterator[Made]:
    """What comes of the tasks, as it comes; of those to come, `most` are begun or wait to be used."""
    free, over = Semaphore(most), False

    def begun() -> Iterator[Task]:
        for task in tasks:
            free.acquire()
            if over:
                return
            yield task

    try:
        for made in pool.imap_unordered(make, begun()):
            yield made
            free.release()
    finally:
        over = True
        free.release()  # or the pool could not end, which waits for its next task
