"""Something that goes on beside what is played, in a thread of its own."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Beside(ABC):
    """Goes on within the block. What goes wrong with it is raised at the end of that, or when one has a `look`."""

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if error is None:
            self.look()

    def look(self) -> None:
        """Raises what went wrong."""
        if self._error is not None:
            raise self._error

    @abstractmethod
    def _go_on(self) -> None:
        """Until `_over` is set."""

    def _run(self) -> None:
        try:
            self._go_on()
        except BaseException as error:  # noqa: BLE001  told by whoever waits for the end
            self._error = error
