"""House rules that a machine can keep. Each failure says what to do."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    if (ROOT / name).is_file()
]
SOURCES = [path for path in FILES if path.suffix == ".py"]
PACKAGE = [path for path in SOURCES if path.is_relative_to(ROOT / "mailflow")]

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}

SOLE_MAKERS = {
    "VerifiedMail": ("mail/cms/verify.py",),
    "FetchedMail": ("mail/imap_folder.py", "cli/mail_files.py"),
    "Registered": ("registrar/", "wire/samples/"),  # the latter in what is published
}
"""Who may make a type that proves something has been done."""

CLOCK_CALLS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"}
CLOCK_PLACES = ("app/", "cli/", "demo/")
"""Where the time is read; everywhere else it comes in as `at`."""

CATCH_ALL_PLACES = (
    *("mail/worker.py", "mail/composing.py", "mail/stages.py", "mail/overlap.py", "mail/pool.py", "review/shadow.py"),
)
"""The job wrappers: what nobody foresaw sets one mail aside, puts one answer off, ends one turn of a stage, is passed
on as a value, leaves a process of the pool by its name, or is how a mail is decided in a replay; the queue moves on."""

PURE_PLACES = ("core/", "wire/", "mail/cms/")

FROZEN_PLACES = (*PURE_PLACES, "mail/model.py", "mail/ports.py", "mail/trust/")

FORBIDDEN = {
    "a registry's host": ["pypi" + ".org", "python" + "hosted", "debian" + ".org", "npm" + "js"],
    "a path of one machine": [r"(?<![\w./])/" + "(root|work|home)/"],
    "work that is left": [r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b"],
    "a debugger's call": [r"\bbreak" + r"point\(\)"],
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def within(path: Path, places: tuple[str, ...]) -> bool:
    """Whether a module of the package lies in one of `places`."""
    return path.relative_to(ROOT / "mailflow").as_posix().startswith(places)


def each(paths: Iterable[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """A rule for each of these files, as one test that names every file which breaks it."""
    files = list(paths)

    def ruled(rule: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            assert files
            assert not [*filter(None, (_broken(rule, path) for path in files))]

        return test

    return ruled


def _broken(rule: Callable[[Path], None], path: Path) -> str | None:
    try:
        rule(path)
    except AssertionError as error:
        return str(error).splitlines()[0]
    return None


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


@each(SOURCES)
def test_a_module_says_what_it_is_for_and_is_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.stem not in VAGUE_NAMES, f"{name_of(path)}: a name should say what is inside"
    assert len(text.splitlines()) <= MODULE_LINES_MAX, f"{name_of(path)}: split it"
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{name_of(path)}: say in one line what it is for"


@each(SOURCES)
def test_functions_are_small(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{name_of(path)}:{node.lineno} {node.name} has {length} lines"


@each(SOURCES)
def test_what_silences_a_check_says_why(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    silencer = re.compile(r"# (?:type: ignore|noqa)(?:\[[\w, -]+\]|: [A-Z]+\d+)?(.*)")
    for before, (number, line) in zip(["", *lines], enumerate(lines, 1), strict=False):
        if found := silencer.search(line):
            explained = found[1].strip() or before.strip().startswith("#")
            assert explained, f"{name_of(path)}:{number} say why, behind it or above it"


@each(PACKAGE)
def test_types_that_prove_something_have_one_maker(path: Path) -> None:
    for node in nodes(path):
        called = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
        if called in SOLE_MAKERS:
            assert within(path, SOLE_MAKERS[called]), f"{name_of(path)} may not make a {called}"


@each(PACKAGE)
def test_time_comes_in_as_a_value(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.Call) and ast.unparse(node.func).removeprefix("datetime.date") in CLOCK_CALLS:
            assert within(path, CLOCK_PLACES), f"{name_of(path)}:{node.lineno} take the time as `at`"


@each(PACKAGE)
def test_errors_are_caught_by_name(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            broad = re.search(r"\b(Exception|BaseException|everything)\b", caught)
            passed_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            assert not broad or passed_on or within(path, CATCH_ALL_PLACES), (
                f"{name_of(path)}:{node.lineno} catches {caught}"
            )


@each(path for path in PACKAGE if within(path, FROZEN_PLACES))
def test_values_are_frozen(path: Path) -> None:
    for node in nodes(path):
        for decorator in node.decorator_list if isinstance(node, ast.ClassDef) else ():
            said = ast.unparse(decorator)
            if said.startswith("dataclass"):
                assert "frozen=True" in said, f"{name_of(path)}:{decorator.lineno} a stage is passed on, never edited"
                assert "slots=True" in said, f"{name_of(path)}:{decorator.lineno} slots=True"


@each(path for path in PACKAGE if within(path, PURE_PLACES))
def test_pure_modules_do_not_wait(path: Path) -> None:
    waits = any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in nodes(path))
    assert not waits, f"{name_of(path)} waits: what is pure is given all that it needs"


def test_what_is_large_is_loaded_by_who_uses_it() -> None:
    """Each command starts anew, and the worker keeps all its life what it once loaded."""
    large = "{'alembic', 'apscheduler', 'httpx', 'typst', 'uvicorn'}"
    code = f"import sys, mailflow.cli.main; print(*sorted({large} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"\n"


@each(FILES)
def test_no_file_holds_what_does_not_belong(path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    for what, patterns in FORBIDDEN.items():
        for pattern in patterns:
            found = re.search(pattern, text)
            assert found is None, f"{name_of(path)} holds {what}: {found[0]}"


def test_every_place_named_above_exists() -> None:
    """No rule guards a file that has moved, nor a type that is called otherwise."""
    places = {place for places in SOLE_MAKERS.values() for place in places} | {*CLOCK_PLACES, *CATCH_ALL_PLACES}
    missing = {place for place in places | set(PURE_PLACES) if not (ROOT / "mailflow" / place).exists()}
    assert not missing
    classes = {node.name for path in PACKAGE for node in nodes(path) if isinstance(node, ast.ClassDef)}
    assert classes >= set(SOLE_MAKERS)
