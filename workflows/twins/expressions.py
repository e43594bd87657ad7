"""Arithmetic in a string, evaluated without Python's `eval`.

Numbers, names, `+ - * / // % **`, bits, comparisons, `and or not`, `x if c else y`, the functions
of ComfyUI's Math Expression, and `values[i]`; nothing else of Python. ComfyUI uses simpleeval,
whose bounds would let a stranger's line work for hours or fill the memory; here no number has more
than `MAX_BITS`, and texts, attributes and comprehensions do not exist.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from ...models.quoting import shown
from ...models.refused import Refused

Number = int | float
"""true and false are numbers too, as in Python"""

MAX_CHARACTERS = 4000
MAX_BITS = 1024
"""what a float can hold; a larger result is refused in ComfyUI too"""
MAX_DIGITS = 400


def evaluate(expression: str, values: Mapping[str, Number]) -> Number:
    """The value of `expression`, in which `values` are known by name and, all of them, as a list
    `values`.

    Raises Refused for what is no arithmetic, has no value, or has one that is no finite float.
    """
    if not expression.strip() or len(expression) > MAX_CHARACTERS:
        expected = f"an expression of 1 to {MAX_CHARACTERS} characters"
        raise _refused(expression, f"{len(expression)} characters", expected)
    names = {**values, "values": list(values.values())}
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        result = _Evaluation(names).value(tree)
        finite = math.isfinite(result)
    except Refused as error:
        raise _refused(expression, error.got, error.expected) from error
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise _refused(expression, error, "arithmetic") from error
    except (ArithmeticError, ValueError, TypeError, LookupError) as error:
        raise _refused(expression, error, "an expression that has a value") from error
    if not finite:
        raise _refused(expression, result, "a finite number")
    return result


def _refused(expression: str, got: object, expected: object) -> Refused:
    return Refused(f"the expression {shown(expression)}", got=got, expected=str(expected))


class _Evaluation:
    """Of one expression: a method for each kind of node of Python's syntax tree."""

    def __init__(self, names: Mapping[str, Number | list[Number]]):
        self.names = names

    def value(self, node: ast.expr) -> Number:
        result = self._any(node)
        if isinstance(result, list):
            raise Refused("", got="a list", expected="a number; say which, as in values[0]")
        return result

    def _any(self, node: ast.expr) -> Any:
        """A number, or the list `values`."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise Refused("", got=f"Python's {type(node).__name__}", expected="arithmetic")
        return _bounded(method(node))

    def _constant(self, node: ast.Constant) -> Number:
        if not isinstance(node.value, (int, float)):
            raise Refused("", got=shown(node.value), expected="numbers")
        return node.value

    def _name(self, node: ast.Name) -> Number | list[Number]:
        if node.id not in self.names:
            raise Refused("", got=shown(node.id), expected=f"one of {', '.join(self.names)}")
        return self.names[node.id]

    def _subscript(self, node: ast.Subscript) -> Number:
        several, index = self._any(node.value), self.value(node.slice)
        if not isinstance(several, list) or not isinstance(index, int):
            raise Refused("", got="an index that fits nothing", expected="values[0], values[1] …")
        return several[index]

    def _binop(self, node: ast.BinOp) -> Number:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        if isinstance(node.op, ast.LShift) and right > MAX_BITS:
            raise Refused("", got=f"a shift by {right}", expected=f"at most {MAX_BITS}")
        return _operation(BINARY, node.op)(left, right)

    def _unaryop(self, node: ast.UnaryOp) -> Number:
        return _operation(UNARY, node.op)(self.value(node.operand))

    def _boolop(self, node: ast.BoolOp) -> Number:
        stops_at = isinstance(node.op, ast.Or)
        result: Number = not stops_at
        for one in node.values:
            result = self.value(one)
            if bool(result) is stops_at:
                break
        return result

    def _compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for operation, one in zip(node.ops, node.comparators, strict=True):
            right = self.value(one)
            if not _operation(COMPARISONS, operation)(left, right):
                return False
            left = right
        return True

    def _ifexp(self, node: ast.IfExp) -> Number:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _call(self, node: ast.Call) -> Number:
        name = node.func.id if isinstance(node.func, ast.Name) else type(node.func).__name__
        if name not in FUNCTIONS or node.keywords:
            raise Refused("", got=shown(name), expected=f"one of {', '.join(FUNCTIONS)}")
        return FUNCTIONS[name](*(self._any(one) for one in node.args))


def _operation(known: Mapping[type, Callable], node: ast.AST) -> Callable:
    if type(node) not in known:
        raise Refused("", got=f"the operator {type(node).__name__}", expected="arithmetic")
    return known[type(node)]


def _bounded(value: Any) -> Any:
    if isinstance(value, complex):
        raise Refused("", got="a complex number", expected="a real one")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise Refused("", got=f"a number of {value.bit_length()} bits", expected="a smaller one")
    return value


def _power(base: Number, exponent: Number) -> Number:
    """Looked at before it is made."""
    if isinstance(base, int) and isinstance(exponent, int):
        if exponent > 0 and (base.bit_length() - 1) * exponent > MAX_BITS:
            got = f"{shown(base)} ** {shown(exponent)}"
            raise Refused("", got=got, expected="a smaller number")
    return operator.pow(base, exponent)


def _rounded(number: Number, digits: int | None = None) -> Number:
    if digits is not None and abs(digits) > MAX_DIGITS:
        raise Refused("", got=f"{digits} digits", expected=f"at most {MAX_DIGITS}")
    return round(number, digits)


def _sum(*numbers: Any) -> Number:
    """Of its arguments, or of the list that is its only one."""
    return sum(numbers[0] if len(numbers) == 1 and isinstance(numbers[0], list) else numbers)


BINARY: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
UNARY: dict[type, Callable] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
COMPARISONS: dict[type, Callable] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
FUNCTIONS: dict[str, Callable] = {
    "sum": _sum,
    "min": min,
    "max": max,
    "abs": abs,
    "round": _rounded,
    "pow": _power,
    "sqrt": math.sqrt,
    "ceil": math.ceil,
    "floor": math.floor,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "int": int,
    "float": float,
}
