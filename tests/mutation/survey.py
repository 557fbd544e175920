"""Runs the tests once and notes which of them run which line, and how long each takes. A plugin of pytest."""

import functools
import gc
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import coverage
import pytest

from tests.mutation.planting import Functions, functions_of


@dataclass(slots=True, eq=False)
class Survey:
    """What one run of all tests tells."""

    files: list[str]
    """Of the modules that are changed."""
    then: "Callable[[Survey], None]"
    """What is done when all is known, while pytest is still there to run tests."""
    items: dict[str, pytest.Item] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    tests: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    """By file and line: the tests that run it."""
    functions: Functions = field(default_factory=dict)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """The same examples each time, and none made smaller: a failure is all that is looked for."""
        import hypothesis  # not before pytest rewrites what it imports

        hypothesis.settings.register_profile(
            "mutation",
            deadline=None,
            database=None,
            derandomize=True,
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
            suppress_health_check=[*hypothesis.HealthCheck],
        )
        hypothesis.settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All tests, each in a context of its own."""
        self.items = {item.nodeid: item for item in session.items}
        measured = coverage.Coverage(data_file=None, include=self.files, config_file=False)
        forgetful = [one for one in gc.get_objects() if isinstance(one, functools._lru_cache_wrapper)]
        ours = [one for one in forgetful if one.__module__.startswith("mailflow.")]
        measured.start()
        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            for cache in ours:
                cache.cache_clear()
            measured.switch_context(item.nodeid)
            begun = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self.seconds[item.nodeid] = time.process_time() - begun
        measured.stop()
        data = measured.get_data()
        self.tests = {file: data.contexts_by_lineno(file) for file in self.files}
        self.functions = functions_of({*self.files})
        self.then(self)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        """Nothing can be told from tests that fail without any change."""
        yield
        if report.failed and not self.functions:
            pytest.exit(f"{report.nodeid} fails as it is", returncode=1)
