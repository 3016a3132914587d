"""Is this an expression of the mapping language, and if not, where is it wrong?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from jmespath.exceptions import JMESPathError, LexerError, ParseError
from jmespath.lexer import Lexer
from jmespath.parser import Parser
from msgspec import Struct

from services.ingest.mapping.functions import TABLE, arguments_of
from services.ingest.schemas.hints import nearest

EXPRESSION_LENGTH_MAX: Final = 1_000
NODES_MAX: Final = 500
DEPTH_MAX: Final = 60


class Expression(Struct, frozen=True):
    """JMESPath over what is given; `parsed` is its tree."""

    text: str
    parsed: Any


class WrongExpression(ValueError):
    pass


class _StrictLexer(Lexer):
    """Takes JSON alone between backticks; the library's own still takes `{` for the text "{"."""

    _position: int
    _consume_until: Callable[[str], str]

    def _consume_literal(self) -> dict[str, Any]:
        start = self._position
        text = self._consume_until("`").replace("\\`", "`")
        try:
            value = json.loads(text)
        except ValueError:
            raise LexerError(start, text, "what stands between backticks is not JSON") from None
        return {"type": "literal", "value": value, "start": start, "end": self._position - start}


def parse(text: str, names: Iterable[str]) -> Expression:
    """WrongExpression, saying what is wrong and where; `names` are what an expression may begin with."""
    if len(text) > EXPRESSION_LENGTH_MAX:
        raise WrongExpression(f"an expression has at most {EXPRESSION_LENGTH_MAX} characters")
    try:
        for _ in _StrictLexer().tokenize(text):
            pass
        parsed = Parser().parse(text).parsed
    except (LexerError, ParseError) as error:
        raise WrongExpression(f"it cannot be read at character {_place(error) + 1} of {_shown(text)}") from None
    except RecursionError:
        raise WrongExpression("it is nested too deep") from None
    except (JMESPathError, ValueError):
        raise WrongExpression(f"{_shown(text)} is no JMESPath expression") from None
    _check_size(parsed)
    for node in _all(parsed):
        if node["type"] == "function_expression":
            _check_call(node)
        elif node["type"] in ("subexpression", "index_expression") and node["children"][0]["type"] == "not_expression":
            # "!a.b" is "(!a).b" to JMESPath, which is never anything.
            raise WrongExpression("! takes the next name alone; write !(a.b) where the path is meant")
    for name in _first_names(parsed):
        _check_name(name, tuple(names))
    return Expression(text, parsed)


def _check_size(parsed: Any) -> None:
    nodes = 0
    waiting = [(parsed, 1)]
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if depth > DEPTH_MAX or nodes > NODES_MAX:
            raise WrongExpression(f"it has more than {NODES_MAX} parts, or more than {DEPTH_MAX} within one another")
        waiting.extend((child, depth + 1) for child in _children(node))


def _check_call(node: Any) -> None:
    name, number = node["value"], len(node["children"])
    if name not in TABLE:
        raise WrongExpression(f"there is no function {name}().{nearest(name, TABLE)}")
    least, most = arguments_of(name)
    if number < least or most is not None and number > most:
        wanted = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        raise WrongExpression(f"{name}() takes {wanted} arguments, not {number}")


def _check_name(name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        hint = f" For the word itself write '{name}' in single quotes." if name.isidentifier() else ""
        raise WrongExpression(
            f"an expression begins with {', '.join(names)}; there is no {name[:60]!r}.{nearest(name, names)}{hint}"
        )


def _first_names(node: Any) -> Iterator[str]:
    """The names that are looked up in what is given itself, and not in a part of it."""
    match node["type"]:
        case "field":
            yield node["value"]
        case "subexpression" | "index_expression" | "pipe" | "projection" | "value_projection" | "flatten":
            yield from _first_names(node["children"][0])
        case "filter_projection":
            yield from _first_names(node["children"][0])
        case "expref":
            return
        case _:
            for child in _children(node):
                yield from _first_names(child)


def _all(node: Any) -> Iterator[Any]:
    yield node
    for child in _children(node):
        yield from _all(child)


def _children(node: Any) -> list[Any]:
    # The parts of a slice are numbers.
    return [child for child in node.get("children", ()) if isinstance(child, dict)]


def _place(error: Any) -> int:
    place = getattr(error, "lex_position", None)
    if place is None:
        place = getattr(error, "lexer_position", 0)
    return place if isinstance(place, int) else 0


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else text[:97] + "...")
