"""The language in which devices are asked for: `tag:cold and type:meter and attr.floor>=2`.

    any     = all { "or" all }
    all     = one { "and" one }
    one     = "not" one | "(" any ")" | term
    term    = ("tag" | "type" | "app" | "status" | "connected" | "area") (":" | "=") value
            | "attr." name ("=" | "!=" | "<" | "<=" | ">" | ">=") value
    value   = word | '"' text '"'

A value that is not quoted and reads as a number is compared as a number, also with an attribute
that is text and reads as one; everything else is compared as text, capitals and all. `<` and its
kin want a number. `!=` is the opposite of `=`: devices without the attribute are among them.

`area:"Clinic/Floor 2"` means the devices of that area and of all below it.
"""

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from fleetwire.errors import InvalidValueError
from fleetwire.features.areas.rules import MAX_PATH_CHARS
from fleetwire.features.devices.facts import MAX_TEXT_CHARS, number_in
from fleetwire.features.devices.rules import is_attribute_name

MAX_QUERY_CHARS: Final = 1000
MAX_TERMS: Final = 50  # each may be a subquery
MAX_DEPTH: Final = 20  # of brackets and `not`: a bound for the recursion

FIELDS: Final = ("tag", "type", "app", "status", "connected", "area")
ATTRIBUTE: Final = "attr."
ORDER: Final = ("<", "<=", ">", ">=")

_TOKEN = re.compile(
    r'\s*(?:(?P<quoted>"(?:[^"\\]|\\["\\])*")|(?P<sign><=|>=|!=|[=<>:()])|(?P<word>[^\s"=<>!:()]+))'
)


@dataclass(frozen=True)
class Term:
    """One comparison. `field` is one of FIELDS or "attr"; `name` is the attribute's."""

    field: str
    sign: str
    text: str
    number: float | None = None
    name: str = ""


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: "Node"


@dataclass(frozen=True)
class All:
    """Every part holds."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Some:
    """At least one part holds."""

    parts: tuple["Node", ...]


Node = Term | Not | All | Some


@dataclass(frozen=True)
class _Token:
    kind: str  # quoted | sign | word | end
    text: str
    at: int


def parse(query: str, field: str = "query") -> Node:
    """Return what a query says.

    Raises InvalidValueError, which names the fault and its place: the first character is 1.
    """
    if len(query) > MAX_QUERY_CHARS:
        raise InvalidValueError(
            f"{field} must not have more than {MAX_QUERY_CHARS} characters", field=field
        )
    return _Parser(_tokens(query, field), field).whole()


def _tokens(query: str, field: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, end = 0, len(query.rstrip())
    while at < end:
        found = _TOKEN.match(query, at)
        if found is None:
            at += len(query[at:]) - len(query[at:].lstrip())
            what = "a quotation mark without its second" if query[at] == '"' else "no part of it"
            _refuse(f"{query[at]!r} is {what}", at, field)
        kind = found.lastgroup or ""
        tokens.append(_Token(kind, found[kind], found.start(kind)))
        at = found.end()
    return [*tokens, _Token("end", "", end)]


class _Parser:
    def __init__(self, tokens: list[_Token], field: str) -> None:
        self._tokens = tokens
        self._next = 0
        self._terms = 0
        self._field = field

    def whole(self) -> Node:
        node = self._some(0)
        rest = self._peek()
        if rest.kind != "end":
            self._refuse('"and" or "or" is missing before this', rest)
        return node

    def _some(self, depth: int) -> Node:
        parts = [self._all(depth)]
        while self._is_word("or"):
            self._next += 1
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _all(self, depth: int) -> Node:
        parts = [self._one(depth)]
        while self._is_word("and"):
            self._next += 1
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self, depth: int) -> Node:
        token = self._peek()
        if depth > MAX_DEPTH:
            self._refuse(f"brackets and not must not be deeper than {MAX_DEPTH}", token)
        if self._is_word("not"):
            self._next += 1
            return Not(self._one(depth + 1))
        if (token.kind, token.text) == ("sign", "("):
            self._next += 1
            node = self._some(depth + 1)
            close = self._take()
            if (close.kind, close.text) != ("sign", ")"):
                self._refuse(f'")" is missing for the "(" at {token.at + 1}', close)
            return node
        return self._term()

    def _term(self) -> Term:
        key = self._take()
        if key.kind != "word":
            self._refuse("a term such as tag:cold or attr.floor=2 is missing here", key)
        self._terms += 1
        if self._terms > MAX_TERMS:
            self._refuse(f"there must not be more than {MAX_TERMS} terms", key)
        if key.text.startswith(ATTRIBUTE):
            return self._attribute(key)
        if key.text not in FIELDS:
            self._refuse(f"{key.text[:64]!r} is none of {', '.join(FIELDS)}, attr.NAME", key)
        sign = self._take()
        if sign.kind != "sign" or sign.text not in (":", "="):
            self._refuse(f'":" is missing after {key.text!r}', sign)
        place = self._peek()
        text, _ = self._value(MAX_PATH_CHARS if key.text == "area" else MAX_TEXT_CHARS)
        if key.text == "connected" and text not in ("true", "false"):
            self._refuse("connected is true or false", place)
        return Term(key.text, "=", text)

    def _attribute(self, key: _Token) -> Term:
        name = key.text.removeprefix(ATTRIBUTE)
        if not is_attribute_name(name):
            self._refuse(f"{key.text[:64]!r} does not name an attribute", key)
        sign = self._take()
        if sign.kind != "sign" or sign.text in ("(", ")"):
            self._refuse(f"= != < <= > or >= is missing after {key.text!r}", sign)
        place = self._peek()
        text, number = self._value()
        if sign.text in ORDER and number is None:
            self._refuse(f"{sign.text} wants a number", place)
        return Term("attr", "=" if sign.text == ":" else sign.text, text, number, name)

    def _value(self, max_chars: int = MAX_TEXT_CHARS) -> tuple[str, float | None]:
        token = self._take()
        if token.kind not in ("word", "quoted"):
            self._refuse("a value is missing here", token)
        text = token.text
        if token.kind == "quoted":
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        if len(text) > max_chars or not text.isprintable():
            self._refuse(f"a value must be printable text of at most {max_chars} characters", token)
        return text, number_in(text) if token.kind == "word" else None

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)  # the end is always next to come
        return token

    def _is_word(self, word: str) -> bool:
        token = self._peek()
        return token.kind == "word" and token.text.lower() == word

    def _refuse(self, fault: str, token: _Token) -> NoReturn:
        _refuse(fault, token.at, self._field)


def _refuse(fault: str, at: int, field: str) -> NoReturn:
    raise InvalidValueError(f"{field}, character {at + 1}: {fault}", field=field)
