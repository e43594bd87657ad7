"""A few words of LLVM's language, in which numba_vectors writes its loops: vectors of 16 numbers,
which LLVM fits to the processor.

Every sum is said outright, with its order and its roundings, so that results are the same wherever
LLVM compiles them.
"""

from __future__ import annotations

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

from .numba_sizes import LANES

AHEAD = 4096  # bytes that are asked for before they are used

EXP = (
    0.00015403530,
    0.0013333558,
    0.0096181291,
    0.055504109,
    0.24022651,
    0.69314718,
    1.0,
)  # 2^x near 0

I8, I32, I64, F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
BYTES, INTS, FLOATS = (
    ir.VectorType(kind, count) for kind, count in ((I8, LANES), (I32, LANES), (F32, LANES))
)
ZEROS = ir.Constant(FLOATS, [0.0] * LANES)


def _has(feature: str) -> bool:
    """What is compiled for is the processor at hand unless Numba was told another."""
    told = numba.config.CPU_FEATURES
    if told is None:
        return bool(binding.get_host_cpu_features().get(feature))
    return f"+{feature}" in told.split(",")


def _has_vnni() -> bool:
    """AVX-512's product of bytes."""
    return _has("avx512vnni")


def has_wide_vectors() -> bool:
    """32 registers of 16 numbers."""
    return _has("avx512f")


class Code:
    """The few words of LLVM's language that the inner loops need; addresses and counts are its
    64-bit numbers.
    """

    def __init__(self, builder: ir.IRBuilder):
        self._builder = builder

    def at(self, address, index, size: int):
        return self._builder.add(address, self._builder.mul(index, ir.Constant(I64, size)))

    def line(self, address, step, index):
        """The place of a line, where lines are `step` bytes apart."""
        if isinstance(index, int):
            index = ir.Constant(I64, index)
        return self._builder.add(address, self._builder.mul(step, index))

    def after(self, address, offset: int):
        return self._builder.add(address, ir.Constant(I64, offset))

    def load(self, address, kind):
        value = self._builder.load(self._builder.inttoptr(address, kind.as_pointer()))
        value.align = 1
        return value

    def store(self, value, address) -> None:
        self._builder.store(
            value, self._builder.inttoptr(address, value.type.as_pointer())
        ).align = 1

    def prefetch(self, address, first: bool = True):
        """Asks memory for a line of the cache: of the first, else only of the second."""
        kind = I8.as_pointer()
        function = ir.FunctionType(ir.VoidType(), [kind, I32, I32, I32])
        ask = self._builder.module.declare_intrinsic("llvm.prefetch", [kind], function)
        read, keep, data = (ir.Constant(I32, number) for number in (0, 3 if first else 2, 1))
        self._builder.call(ask, [self._builder.inttoptr(address, kind), read, keep, data])

    def broadcast(self, number):
        """One number in all lanes."""
        kind = ir.VectorType(number.type, LANES)
        first = self._builder.insert_element(
            ir.Constant(kind, ir.Undefined), number, ir.Constant(I32, 0)
        )
        return self.lanes(first, [0] * LANES)

    def lanes(self, vector, picked):
        mask = ir.Constant(ir.VectorType(I32, len(picked)), list(picked))
        return self._builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)

    def variables(self, values: list) -> list:
        places = [cgutils.alloca_once(self._builder, value.type) for value in values]
        for place, value in zip(places, values, strict=True):
            self._builder.store(value, place)
        return places

    def fma(self, a, b, c):
        """a · b + c in one, said outright: LLVM may not choose, so that results are the same
        wherever it compiles them.
        """
        fma = self._builder.module.declare_intrinsic(
            f"llvm.fma.v{LANES}f32", (), ir.FunctionType(FLOATS, [FLOATS] * 3)
        )
        return self._builder.call(fma, [a, b, c])

    def add_product(self, sums, a, b) -> None:
        """sums += a · b"""
        self._builder.store(self.fma(a, b, self._builder.load(sums)), sums)

    def constant(self, value: float):
        return ir.Constant(FLOATS, [value] * LANES)

    def polynomial(self, x, coefficients: tuple[float, ...]):
        """The highest power's first."""
        value = self.constant(coefficients[0])
        for coefficient in coefficients[1:]:
            value = self.fma(value, x, self.constant(coefficient))
        return value

    def exp(self, x):
        """e to the power of x ≤ 0, to float32's last digits: 2 to a whole number, and a polynomial
        on [-1/2, 1/2].
        """
        builder, kind = self._builder, ir.FunctionType(FLOATS, [FLOATS])
        floor = builder.module.declare_intrinsic(f"llvm.floor.v{LANES}f32", (), kind)
        power = builder.fmul(
            self.maximum(x, self.constant(-87.0)), self.constant(1.4426950408889634)
        )
        whole = builder.call(floor, [builder.fadd(power, self.constant(0.5))])
        rest = self.polynomial(builder.fsub(power, whole), EXP)
        exponent = builder.add(builder.fptosi(whole, INTS), ir.Constant(INTS, [127] * LANES))
        return builder.fmul(
            rest, builder.bitcast(builder.shl(exponent, ir.Constant(INTS, [23] * LANES)), FLOATS)
        )

    def reduced(self, vector, join):
        """One number of a vector's lanes, joined two and two."""
        while vector.type.count > 1:
            half = vector.type.count // 2
            vector = join(
                self.lanes(vector, range(half)), self.lanes(vector, range(half, 2 * half))
            )
        return self._builder.extract_element(vector, ir.Constant(I32, 0))

    def maximum(self, a, b):
        return self._builder.select(self._builder.fcmp_ordered(">", a, b), a, b)

    def absolute(self, a):
        return self.maximum(a, self._builder.fneg(a))

    def sqrt(self, number):
        """Of one float32."""
        root = self._builder.module.declare_intrinsic("llvm.sqrt", [F32])
        return self._builder.call(root, [number])

    def past(self, line, index: int, int8: bool):
        """A vector of a line of keys or values, as float32; what lies further on is asked for."""
        place = self.after(line, index * LANES * (1 if int8 else 4))
        if not int8 or index % 4 == 0:  # once a line of the cache
            self.prefetch(self.after(place, AHEAD))
        if not int8:
            return self.load(place, FLOATS)
        return self._builder.sitofp(self._builder.sext(self.load(place, BYTES), INTS), FLOATS)

    def add_dots(self, sums, unsigned, signed) -> None:
        """Each int32 lane += the dot product of its 4 bytes."""
        builder = self._builder
        before = builder.load(sums)
        if _has_vnni():
            kind = ir.FunctionType(INTS, [INTS, INTS, INTS])
            dots = builder.module.declare_intrinsic("llvm.x86.avx512.vpdpbusd.512", (), kind)
            builder.store(builder.call(dots, [before, unsigned, signed]), sums)
            return
        all_bytes, wide = (ir.VectorType(kind, 4 * LANES) for kind in (I8, I32))
        left = builder.zext(builder.bitcast(unsigned, all_bytes), wide)
        products = builder.mul(left, builder.sext(builder.bitcast(signed, all_bytes), wide))
        for count in (4 * LANES, 2 * LANES):
            products = builder.add(
                *(self.lanes(products, range(first, count, 2)) for first in (0, 1))
            )
        builder.store(builder.add(before, products), sums)


def call_made(builder: ir.IRBuilder, name: str, arguments, write) -> None:
    """Calls a function that `write(builder, *arguments)` makes when it is called first.

    One function, never inlined: compiling then takes seconds where copies at each place would take
    a minute.
    """
    module = builder.module
    if name not in module.globals:
        kind = ir.FunctionType(ir.VoidType(), [I64] * len(arguments))
        function = ir.Function(module, kind, name)
        function.linkage = "linkonce_odr"
        function.attributes.add("noinline")
        inside = ir.IRBuilder(function.append_basic_block())
        write(inside, *function.args)
        inside.ret_void()
    builder.call(module.globals[name], arguments)


def typed(count: int, name: str, write):
    """What Numba wants of an intrinsic: its type, and the code of a call."""

    def call(context, builder, signature, arguments):
        call_made(builder, name, arguments, write)
        return context.get_dummy_value()

    return types.void(*[types.int64] * count), call
