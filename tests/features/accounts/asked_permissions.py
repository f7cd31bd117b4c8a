"""Asked permissions: what the source asks callers for, found by reading it.

A permission is asked for by `caller.require(…)` and by `… in caller.permissions`. It is written
there, or is a constant, or comes from a local variable, or is a parameter: then whoever calls that
function names it, and his call is looked at in turn. What cannot be found out so is an error,
unless the reader is told where it comes from.
"""

import ast
import importlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Unknown(Exception):  # noqa: N818  # what was found, not a fault of the test
    """Nobody can say which permission is meant here."""


class Parameter(NamedTuple):
    """The permission is whatever callers of this function give as this."""

    function: str
    name: str


@dataclass(frozen=True)
class Place:
    """Where an expression stands."""

    path: str  # from the package's folder on
    module: str
    function: Function | None


class Source:
    """A package's source. `told` are expressions, `path: text`, that cannot be read out of it."""

    def __init__(
        self, root: Path, package: str, told: Mapping[str, Parameter | frozenset[str]]
    ) -> None:
        self._told = told
        self.untold = set(told)
        self._asked: list[tuple[ast.expr, Place]] = []
        self._calls: dict[str, list[tuple[ast.Call, Place]]] = defaultdict(list)
        for path in sorted(root.rglob("*.py")):
            inside = path.relative_to(root)
            parts = [part for part in inside.with_suffix("").parts if part != "__init__"]
            place = Place(inside.as_posix(), ".".join((package, *parts)), None)
            self._collect(ast.parse(path.read_text(encoding="utf-8")), place)

    def permissions(self) -> set[str]:
        """Return every permission asked for. Raises Unknown that names the places."""
        found: set[str] = set()
        unknown: list[str] = []
        for expression, place in self._asked:
            try:
                found |= self._meant(expression, place)
            except Unknown as error:
                unknown.append(str(error))
        if unknown:
            raise Unknown("; ".join(unknown))
        return found

    def _collect(self, node: ast.AST, place: Place) -> None:
        for child in ast.iter_child_nodes(node):
            inside = place
            if isinstance(child, Function):
                inside = Place(place.path, place.module, child)
            elif isinstance(child, ast.Call):
                name = _name_of(child.func)
                self._calls[name].append((child, place))
                if name == "require" and isinstance(child.func, ast.Attribute):
                    (asked,) = child.args
                    self._asked.append((asked, place))
            elif (
                isinstance(child, ast.Compare)
                and isinstance(child.ops[0], ast.In | ast.NotIn)
                and _name_of(child.comparators[0]) == "permissions"
            ):
                self._asked.append((child.left, place))
            self._collect(child, inside)

    def _meant(self, expression: ast.expr, place: Place) -> set[str]:
        where = f"{place.path}: {ast.unparse(expression)}"
        if where in self._told:
            self.untold.discard(where)
            told = self._told[where]
            if isinstance(told, Parameter):
                return self._given(*told, -1, where)
            return set(told)
        match expression:
            case ast.Constant(value=str(said)):
                return {said}
            case ast.IfExp(body=one, orelse=other):
                return self._meant(one, place) | self._meant(other, place)
            case (
                ast.Subscript(value=mapping)
                | ast.Call(func=ast.Attribute(value=mapping, attr="items" | "values"), args=[])
            ):
                held = _constant(mapping, place, where)
                return _texts(tuple(held.values()) if isinstance(held, Mapping) else held, where)
            case ast.Name(id=name) if place.function is not None:
                assigned = list(_assigned(place.function, name))
                if assigned:
                    return set().union(*(self._meant(each, place) for each in assigned))
                position = _position(place.function, name)
                if position is not None:
                    return self._given(place.function.name, name, position, where)
        return _texts(_constant(expression, place, where), where)

    def _given(self, function: str, name: str, position: int, where: str) -> set[str]:
        """Return what callers of a function give as this parameter; -1 = by its name only."""
        found: set[str] = set()
        for call, place in self._calls[function]:
            for keyword in call.keywords:
                if keyword.arg == name:
                    found |= self._meant(keyword.value, place)
            if 0 <= position < len(call.args):
                found |= self._meant(call.args[position], place)
        if not found:
            raise Unknown(f"{where}: nobody calls {function} with {name}")
        return found


def _name_of(called: ast.expr) -> str:
    match called:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def _assigned(function: Function, name: str) -> Iterator[ast.expr]:
    """Yield what is assigned to a local variable, also as one of several, or in turn."""
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=targets, value=value):
                pass
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                targets = [target]
            case _:
                continue
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            if any(isinstance(each, ast.Name) and each.id == name for each in names):
                yield value


def _position(function: Function, name: str) -> int | None:
    """Return the place of a parameter among a call's arguments, -1 = by its name only."""
    said = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    said = said[1:] if said[:1] in (["self"], ["cls"]) else said
    if name in said:
        return said.index(name)
    return -1 if name in [each.arg for each in function.args.kwonlyargs] else None


def _constant(expression: ast.expr, place: Place, where: str) -> object:
    """Return the value of a module's constant, also of one by its module: `READ`, `rules.READ`."""
    match expression:
        case ast.Name(id=name):
            holder: object = importlib.import_module(place.module)
        case ast.Attribute(value=ast.Name() as module, attr=name):
            holder = _constant(module, place, where)
        case _:
            raise Unknown(where)
    try:
        return getattr(holder, name)
    except AttributeError:
        raise Unknown(where) from None


def _texts(value: object, where: str) -> set[str]:
    """Return the text, or the texts that a tuple or a set holds."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, tuple | frozenset) and value:
        return set().union(*(_texts(each, where) for each in value))
    raise Unknown(where)
