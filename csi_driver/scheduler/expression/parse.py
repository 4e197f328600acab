"""Text of an expression to a term: a scanner and a descent over CEL's own grammar (cel-spec, langdef.md)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from csi_driver.scheduler.expression import terms
from csi_driver.scheduler.expression.attributes import CLASS, CONSTANTS, GROUPS, term
from csi_driver.scheduler.expression.terms import Kind, Mistake, Term

LONGEST = 1000
"""Characters of an expression."""
DEEPEST = 20
"""Parentheses and the like within each other."""
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>\d{1,18}(?:\.\d{1,18})?(?:e\d{1,2})?(?![\w.]))
    |(?P<text>"[^"\\\n]*"|'[^'\\\n]*')
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]])
    )""",
    re.VERBOSE | re.ASCII,
)


def parse(text: str) -> Term:
    """The term that ``text`` spells. Raises Mistake that says what is wrong, and where."""
    if len(text) > LONGEST:
        raise Mistake(f"it is {len(text)} characters long, at most {LONGEST} are allowed")
    return _parse(text)


@lru_cache(maxsize=256)
def _parse(text: str) -> Term:
    parser = _Parser(_scan(text))
    term = parser.whole()
    parser.end()
    return term


def _scan(text: str) -> list[tuple[str, str, int]]:
    tokens, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKEN.match(stripped, at)
        if match is None:
            raise Mistake(f"{stripped[at:].lstrip()[:20]!r} cannot be read (character {at + 1})")
        kind = match.lastgroup or ""
        tokens.append((kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return [*tokens, ("end", "", len(stripped) + 1)]


class _Parser:
    """A level of precedence is a method, the loosest first."""

    def __init__(self, tokens: list[tuple[str, str, int]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Term:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Mistake(f"it is nested deeper than {DEEPEST}")
        term = self._either()
        if self._take("?"):
            yes = self.whole()
            self._demand(":")
            term = terms.choose(term, yes, self.whole())
        self._depth -= 1
        return term

    def end(self) -> None:
        kind, word, at = self._tokens[self._at]
        if kind != "end":
            raise Mistake(f"{word!r} is not expected (character {at})")

    def _either(self) -> Term:
        return self._chain(self._both, {"||": terms.either})

    def _both(self) -> Term:
        return self._chain(self._relation, {"&&": terms.both})

    def _relation(self) -> Term:
        left = self._sum()
        for sign in terms.COMPARISONS:
            if self._take(sign):
                return terms.compare(sign, left, self._sum())
        if self._take("in", kind="name"):
            return terms.within(left, self._sum())
        return left

    def _sum(self) -> Term:
        return self._chain(self._product, {sign: self._arithmetic(sign) for sign in "+-"})

    def _product(self) -> Term:
        return self._chain(self._unary, {sign: self._arithmetic(sign) for sign in "*/%"})

    @staticmethod
    def _arithmetic(sign: str) -> Callable[[Term, Term], Term]:
        return lambda left, right: terms.arithmetic(sign, left, right)

    def _unary(self) -> Term:
        signs = []
        while self._peek() in ("!", "-"):
            signs.append(self._next()[1])
        term = self._member()
        for sign in reversed(signs):
            term = terms.negate(term) if sign == "!" else terms.minus(term)
        return term

    def _member(self) -> Term:
        term = self._primary()
        while True:
            if self._take("["):
                key = self.whole()
                self._demand("]")
                term = terms.select(term, key)
            elif self._take("."):
                name = self._name()
                if self._take("("):
                    term = terms.method(name, term, self._arguments(")"))
                else:
                    term = terms.select(term, terms.literal(name))
            else:
                return term

    def _primary(self) -> Term:
        kind, word, at = self._next()
        if kind == "number":
            return terms.literal(float(word) if not word.isdigit() else int(word))
        if kind == "text":
            return terms.literal(word[1:-1])
        if word == "(":
            term = self.whole()
            self._demand(")")
            return term
        if word == "[":
            return terms.members(self._arguments("]"))
        if kind == "name":
            return self._named(word, at)
        raise Mistake(f"{word!r} is not expected (character {at})" if word else "it ends too early")

    def _named(self, word: str, at: int) -> Term:
        if word in CONSTANTS:
            return CONSTANTS[word]
        if word == "class":
            return term(CLASS)
        if word in GROUPS:
            self._demand(".")
            name = self._name()
            if name not in GROUPS[word]:
                raise Mistake(f"there is no {word}.{name}; there are {', '.join(sorted(GROUPS[word]))}")
            return term(GROUPS[word][name])
        if self._take("("):
            arguments = self._arguments(")")
            if word == "has":
                if len(arguments) != 1:
                    raise Mistake("has( ) takes one argument")
                return terms.has(arguments[0])
            return terms.call(word, arguments)
        known = sorted({*CONSTANTS, *GROUPS, "class"})
        raise Mistake(f"{word!r} is not known (character {at}); there are {', '.join(known)}")

    def _chain(self, part: Callable[[], Term], signs: dict[str, Callable[[Term, Term], Term]]) -> Term:
        term = part()
        while self._peek() in signs:
            join = signs[self._next()[1]]
            term = join(term, part())
        return term

    def _arguments(self, closing: str) -> tuple[Term, ...]:
        if self._take(closing):
            return ()
        found = [self.whole()]
        while self._take(","):
            found.append(self.whole())
        self._demand(closing)
        return tuple(found)

    # -- words

    def _next(self) -> tuple[str, str, int]:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _peek(self) -> str:
        kind, word, _ = self._tokens[self._at]
        return word if kind == "sign" else ""

    def _take(self, word: str, *, kind: str = "sign") -> bool:
        found = self._tokens[self._at][:2] == (kind, word)
        if found:
            self._at += 1
        return found

    def _demand(self, word: str) -> None:
        _, found, at = self._tokens[self._at]
        if not self._take(word):
            raise Mistake(f"{word!r} is expected in place of {found!r} (character {at})" if found else "it ends early")

    def _name(self) -> str:
        kind, word, at = self._next()
        if kind != "name":
            raise Mistake(f"a name is expected in place of {word!r} (character {at})")
        return word


def parse_as(text: str, kind: Kind, *others: Kind) -> Term:
    """``parse`` for an expression that must be of one of these kinds."""
    found = parse(text)
    if found.kind not in (kind, *others):
        raise Mistake(f"it is {found.kind}, and must be {' or '.join((kind, *others))}")
    return found
