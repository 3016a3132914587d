"""What does an expression make of a document, and how is that kept cheap whatever both hold?

JMESPath has no loops, but `[@, @] | [@, @] | …` names the same list twice at each step: a thousand characters stand
for more values than there are atoms. So each step costs, and each value that is made weighs as much as the tree that
it would be written as.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from jmespath.exceptions import ArityError, JMESPathError, JMESPathTypeError
from jmespath.visitor import Options, TreeInterpreter

from services.ingest.mapping.functions import TEXT_LENGTH_MAX, FunctionFailed, MappingFunctions

STEPS_MAX: Final = 300_000
"""For one foreign document and all expressions of a mapping; a fraction of a second."""
WEIGHT_MAX: Final = 200_000
_TEXT_STEP: Final = 64


class Failed(ValueError):
    """An expression has no result for this document; the text says why, without the document's own words."""


class TooCostly(Failed):
    pass


class Evaluation(TreeInterpreter):
    """All expressions of one mapping on one document share its purse; used once, by one thread."""

    def __init__(self, steps_max: int = STEPS_MAX) -> None:
        super().__init__(Options(custom_functions=_Bounded(self)))
        self._left = steps_max
        self._methods: dict[str, Callable[[Any, Any], Any]] = {}
        # By identity, with the value itself, so that no other value takes the identity over.
        self._weights: dict[int, tuple[int, Any]] = {}

    def result(self, parsed: Any, scope: Any) -> Any:
        """Failed when there is none."""
        try:
            value = self.visit(parsed, scope)
            self.weigh(value)
        except (FunctionFailed, TooCostly) as error:
            raise Failed(str(error)) from None
        except JMESPathError as error:
            raise Failed(_told(error)) from None
        except RecursionError:
            raise Failed("the document is nested too deep for it") from None
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
            # What its built-in functions do not guard themselves against, such as "<" between a text and a number.
            raise Failed("its functions and comparisons do not fit the values in the document") from None
        return value

    def charge(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooCostly("it takes too much work for this document")

    def weigh(self, value: Any) -> int:
        """How many values the tree has that this would be written as; each one is looked at once."""
        if not isinstance(value, dict | list):
            return 1 + len(value) // _TEXT_STEP if isinstance(value, str) else 1
        if known := self._weights.get(id(value)):
            return known[0]
        total = 1
        waiting: list[Any] = [value]
        while waiting:
            for inner in _parts(waiting.pop()):
                self.charge(1)
                if isinstance(inner, dict | list):
                    known = self._weights.get(id(inner))
                    total += known[0] if known else 1
                    if not known:
                        waiting.append(inner)
                else:
                    total += 1 + len(inner) // _TEXT_STEP if isinstance(inner, str) else 1
                if total > WEIGHT_MAX:
                    raise TooCostly("what it makes is too large")
        self._weights[id(value)] = (total, value)
        return total

    def visit(self, node: Any, value: Any) -> Any:
        """As the library's own, without its detours: every step of every expression comes along here."""
        self._left -= 1
        if self._left < 0:
            self.charge(0)
        method = self._methods.get(node["type"])
        if method is None:
            method = self._methods[node["type"]] = getattr(self, f"visit_{node['type']}")
        return method(node, value)

    def visit_multi_select_list(self, node: Any, value: Any) -> list[Any] | None:
        made = super().visit_multi_select_list(node, value)
        self.weigh(made)
        return made

    def visit_multi_select_dict(self, node: Any, value: Any) -> Any:
        made = super().visit_multi_select_dict(node, value)
        self.weigh(made)
        return made

    def visit_flatten(self, node: Any, value: Any) -> Any:
        made = super().visit_flatten(node, value)
        self.charge(len(made or ()))
        return made

    def visit_slice(self, node: Any, value: Any) -> Any:
        made = super().visit_slice(node, value)
        self.charge(len(made or ()))
        return made

    def visit_comparator(self, node: Any, value: Any) -> Any:
        left, right = (self.visit(child, value) for child in node["children"])
        self.charge(min(self.weigh(left), self.weigh(right)))
        if node["value"] not in ("eq", "ne") and not (_is_number(left) and _is_number(right)):
            # Texts have an order, too; a text and a number have none.
            if not (isinstance(left, str) and isinstance(right, str)):
                return None
        return self.COMPARATOR_FUNC[node["value"]](left, right)


class _Bounded(MappingFunctions):
    """The functions, with an eye on what goes in and what comes out."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation

    def call_function(self, function_name: str, resolved_args: Any) -> Any:
        for each in resolved_args:
            self._evaluation.charge(self._evaluation.weigh(each))
        made = super().call_function(function_name, resolved_args)
        if isinstance(made, str) and len(made) > TEXT_LENGTH_MAX:
            raise TooCostly(f"{function_name}() makes a text of more than {TEXT_LENGTH_MAX} characters")
        return made


def _parts(value: Any) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _told(error: JMESPathError) -> str:
    if isinstance(error, JMESPathTypeError):
        return f"{error.function_name}() takes {' or '.join(error.expected_types)}, not {error.actual_type}"
    if isinstance(error, ArityError):
        return f"{error.function_name}() has the wrong number of arguments"
    return "one of its functions cannot be called like this"
