"""Puts a changed module into a process that has loaded the unchanged one, without importing anything anew.

A function gets the changed code, whoever holds it already. What a module computes when it is loaded (limits, tables,
default values) is computed anew and put wherever the old value stands under its name.
"""

import ast
import gc
import sys
from collections.abc import Iterator
from enum import Enum
from types import CodeType, FunctionType, ModuleType
from typing import Any

Functions = dict[tuple[str, str], list[FunctionType]]
"""By file and qualified name."""


class NotPlantedError(Exception):
    """The change cannot be made in a running process."""


class NotLoadedError(Exception):
    """With the change the module cannot be loaded at all."""


def functions_of(files: set[str]) -> Functions:
    """All functions that were made from these files and are in memory."""
    found: Functions = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename in files:
            found.setdefault((one.__code__.co_filename, one.__code__.co_qualname), []).append(one)
    return found


def plant(tree: ast.Module, module: ModuleType, function: str, functions: Functions) -> None:
    """Make the running `module` what `tree` says. Raises NotPlantedError and NotLoadedError."""
    file = str(module.__file__)
    code = compile(tree, file, "exec")
    if function:
        changed = next((one for one in _codes(code) if one.co_qualname == function), None)
        originals = functions.get((file, function), [])
        if changed is None or not originals:
            raise NotPlantedError(function)
        for original in originals:
            _replace(original, changed)
        return
    _compute_anew(tree, module, functions)


def _compute_anew(tree: ast.Module, module: ModuleType, functions: Functions) -> None:
    """Classes and functions stay who they are: only default values and attributes of theirs are taken over."""
    names = dict(vars(module))
    for statement in tree.body:
        code = compile(ast.Module(body=[statement], type_ignores=[]), str(module.__file__), "exec")
        if isinstance(statement, ast.ClassDef):
            made = _executed(code, dict(names))
            _put_class(names[statement.name], made[statement.name], functions)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            made = _executed(code, dict(names))
            _put_defaults(made[statement.name], functions)
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            _executed(code, names)
    for name, value in names.items():
        old = vars(module).get(name)
        if name != "__builtins__" and value is not old and value != old:
            _put_everywhere(name, old, value)


def _executed(code: CodeType, names: dict[str, Any]) -> dict[str, Any]:
    try:
        exec(code, names)
    except Exception as error:
        raise NotLoadedError from error
    return names


def _codes(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _codes(one)


def _replace(original: FunctionType, code: CodeType) -> None:
    if code.co_freevars != original.__code__.co_freevars:
        raise NotPlantedError(original.__qualname__)
    original.__code__ = code


def _put_everywhere(name: str, old: object, value: object) -> None:
    for holder in [*sys.modules.values()]:
        if getattr(holder, "__dict__", {}).get(name) is old:
            setattr(holder, name, value)


def _put_class(old: type, new: type, functions: Functions) -> None:
    if issubclass(old, Enum):
        return  # its members are names, and are not changed
    for name, value in vars(new).items():
        if isinstance(value, FunctionType):
            kept = vars(old).get(name)
            if isinstance(kept, FunctionType):
                kept.__defaults__, kept.__kwdefaults__ = value.__defaults__, value.__kwdefaults__
            _put_defaults(value, functions)
        elif isinstance(value, int | float | str | bytes | tuple | frozenset) and not name.startswith("_"):
            setattr(old, name, value)


def _put_defaults(new: object, functions: Functions) -> None:
    if isinstance(new, FunctionType):
        for old in functions.get((new.__code__.co_filename, new.__code__.co_qualname), []):
            old.__defaults__, old.__kwdefaults__ = new.__defaults__, new.__kwdefaults__
