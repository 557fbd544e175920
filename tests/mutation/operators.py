"""The changes: one small thing about one expression or statement at a time."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
DECLARED = {"field", "TypeVar", "NewType"}
"""Calls that declare something: the type checker and the house rules look at them."""
KINDS = {"Protocol", "Enum", "StrEnum", "IntEnum"}
"""Classes that declare something, too."""
CHANGE_CHARACTERS_MAX = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is changed, and where."""

    function: str
    """Qualified name of the outermost function around it; empty at the level of the module or of a class."""
    lines: tuple[int, ...]
    """First to last, of the smallest statement or expression that tells which tests run it."""
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """One place of a tree that holds a node."""

    parent: ast.AST
    field: str
    index: int | None

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def changes(tree: ast.Module) -> Iterator[Change]:
    """Each change in turn; while it is told, `tree` holds it."""
    yield from _inside(tree, "", "", tree)


def _inside(node: ast.AST, function: str, scope: str, statement: ast.AST) -> Iterator[Change]:
    for slot, child in _children(node):
        around = child if isinstance(child, ast.stmt) else statement
        if isinstance(around, ast.Raise) and isinstance(child, ast.Constant):
            continue  # why something is refused is told to a person
        for made in _others(child, slot, at_top=not function):
            other = ast.fix_missing_locations(ast.copy_location(made, child))
            change = Change(function=function, lines=_lines(child, around), what=_what(child, other, node))
            with _planted(slot, child, other):
                yield change
        name = f"{scope}.{child.name}".lstrip(".") if isinstance(child, _NAMED) else scope
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _inside(child.args, function, scope, around)
            body = ast.Module(body=child.body, type_ignores=[])
            yield from _inside(body, function or name, name, around)
        else:
            yield from _inside(child, function, name, around)


_NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _children(node: ast.AST) -> Iterator[tuple[_Slot, ast.AST]]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords") and not isinstance(node, ast.Call):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST) and not _is_left_out(child):
                yield _Slot(parent=node, field=name, index=index), child


def _is_left_out(node: ast.AST) -> bool:
    """What says nothing about behaviour: texts for persons, invariants, declarations, enumerations, protocols."""
    match node:
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.Expr(value=ast.Constant()) | ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in DECLARED
        case ast.ClassDef(bases=bases):
            return not KINDS.isdisjoint(ast.unparse(base).rpartition(".")[2] for base in bases)
    return False


@contextmanager
def _planted(slot: _Slot, node: ast.AST, other: ast.AST) -> Iterator[None]:
    slot.put(other)
    try:
        yield
    finally:
        slot.put(node)


def _lines(node: ast.AST, statement: ast.AST) -> tuple[int, ...]:
    own = node if hasattr(node, "lineno") else statement
    first, last = getattr(own, "lineno", 1), getattr(own, "end_lineno", 1)
    return tuple(range(first, last + 1))


def _what(node: ast.AST, other: ast.AST, parent: ast.AST) -> str:
    before, after = _text(node), _text(other)
    if isinstance(other, ast.Pass):
        return f"without `{before}`"
    around = isinstance(parent, ast.expr | ast.stmt | ast.keyword | ast.comprehension)
    inside = around and isinstance(node, ast.Constant)
    return f"`{before}` → `{after}`" + (f" in `{_text(parent)}`" if inside else "")


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= CHANGE_CHARACTERS_MAX else text[: CHANGE_CHARACTERS_MAX - 1] + "…"


def _others(node: ast.AST, slot: _Slot, *, at_top: bool) -> Iterator[ast.AST]:
    """What may stand in the place of `node`."""
    if isinstance(node, ast.stmt):
        if not at_top:
            yield from _other_statements(node)
    elif isinstance(node, ast.expr):
        yield from _other_expressions(node)
        if slot.field == "test" and not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield ast.UnaryOp(op=ast.Not(), operand=node)
        if slot.field == "ifs":
            yield ast.Constant(value=True)


def _other_statements(node: ast.stmt) -> Iterator[ast.stmt]:
    """Without it; or with None for its value."""
    match node:
        case ast.Expr() | ast.Raise() | ast.AugAssign() | ast.Continue() | ast.Break() | ast.Delete():
            yield ast.Pass()
        case ast.Return(value=ast.expr() as value) if not isinstance(
            value, ast.Constant | ast.Compare | ast.BoolOp | ast.UnaryOp
        ):
            yield ast.Return(value=ast.Constant(value=None))
        case ast.Assign(targets=targets, value=value) if not isinstance(value, ast.Constant):
            yield ast.Assign(targets=targets, value=ast.Constant(value=None))


def _other_expressions(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for index, op in enumerate(ops):
                other = [*ops[:index], COMPARISONS[type(op)](), *ops[index + 1 :]]
                yield ast.Compare(left=left, ops=other, comparators=comparators)
        case ast.BoolOp(op=op, values=values):
            for index in range(len(values)):
                rest = [*values[:index], *values[index + 1 :]]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op=op, values=rest)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in ARITHMETIC:
            yield ast.BinOp(left=left, op=ARITHMETIC[type(operator)](), right=right)
        case ast.Constant(value=value):
            yield from _other_constants(value)
        case ast.Call(func=func, args=[first, second, *rest], keywords=keywords):
            if not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred) and not _is_symmetric(func):
                yield ast.Call(func=func, args=[second, first, *rest], keywords=keywords)


def _is_symmetric(func: ast.expr) -> bool:
    return isinstance(func, ast.Name) and func.id in ("max", "min")


def _other_constants(value: object) -> Iterator[ast.Constant]:
    """Numbers by one more, truths turned around, names another one; what is told to a person stays."""
    match value:
        case bool():
            yield ast.Constant(value=not value)
        case int() | float():
            yield ast.Constant(value=value + 1)
        case str() if " " not in value.strip():
            yield ast.Constant(value=value + "-other")
        case bytes():
            yield ast.Constant(value=value + b"-other")
