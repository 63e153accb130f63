"""The C interface: header, structs and classes agree; stray writes, refusals, missing compilers are told."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convspec.adapters import c, c_compile, c_interface
from convspec.adapters.backend import CannotLoad, Unsupported
from convspec.adapters.c_interface import INTERFACES
from convspec.reference import OPS, Conv2d, Op, Relu
from convspec.reference.pick import RandomPick

HEADER = re.sub(r"/\*.*?\*/", "", (c_compile.KERNEL / "convspec.h").read_text(), flags=re.DOTALL)
PROTOTYPES = re.sub(r"\s+", " ", HEADER)
OPERATIONS = {op.name: op for op in OPS}


@pytest.fixture(scope="module")
def kernel() -> c.CKernel:
    return c.CKernel()


def test_the_kernel_has_every_operation(kernel: c.CKernel) -> None:
    assert set(OPERATIONS) <= set(INTERFACES)
    for name in INTERFACES:
        assert set(getattr(kernel, name).compute) == {np.dtype("float32"), np.dtype("float64")}, name
    assert set(INTERFACES) == {name for name, kind in c.CKernel.__annotations__.items() if kind == "Function"}


@pytest.mark.parametrize("name", INTERFACES)
def test_header_structs_and_classes_agree(name: str) -> None:
    interface = INTERFACES[name]
    body = re.search(rf"struct {name} \{{(.*?)\}};", HEADER, re.DOTALL)
    assert body is not None
    declarations = [line.strip() for line in body[1].split(";") if line.strip()]
    members = []
    for kind, names in (re.fullmatch(r"(const int64_t|int64_t|double) (.*)", d).groups() for d in declarations):  # type: ignore[union-attr]
        members += [f"{kind} {one.strip()}" for one in names.split(",")]
    assert tuple(members) == interface.members
    numbers = sum(int(np.prod([int(n) for n in re.findall(r"\[(\d)\]", m)])) for m in members)
    assert ctypes.sizeof(interface.structure) == 8 * numbers

    for suffix, kind in (("_f32", "float"), ("_f64", "double")):
        read, written = (f"const {kind} *{a}" for a in interface.arrays), (f"{kind} *{a}" for a in interface.outputs)
        takes = ", ".join([f"const struct {name} *p", *read, *written])
        assert f"int {name}{suffix}({takes});" in PROTOTYPES
    assert f"int {name}_shape(const struct {name} *p, int64_t shape[{interface.rank}]);" in HEADER

    op = OPERATIONS.get(name)
    if op is None:
        return
    fields = [f.name for f in op._fields()]
    assert [part.field for part in interface.parts] == [f for f in fields if (name, f) != ("layer_norm", "axes")]
    assert interface.arrays == tuple(f for f in fields if f in op._array_fields())
    assert tuple(o.removeprefix("new_") for o in interface.outputs) == op.outputs


def outputs(answer: Any) -> tuple[Any, ...]:
    return answer if isinstance(answer, tuple) else (answer,)


@pytest.mark.parametrize("dtype", c_interface.SUFFIXES)
@pytest.mark.parametrize("op", OPERATIONS.values(), ids=lambda op: op.name)
def test_kernel_is_within_the_bound(kernel: c.CKernel, op: type[Op], dtype: str) -> None:
    for seed in range(25):
        problem = op.draw(RandomPick(f"{op.name} {dtype} {seed}", np.dtype(dtype), 100_000))
        answer = getattr(kernel, op.name)(problem)
        problem = problem.settled(outputs(answer)[0])
        for actual, expected, bound in zip(*map(outputs, (answer, problem.expected(), problem.bound())), strict=True):
            assert (actual is None) == (expected is None)
            if actual is not None:
                assert actual.shape == expected.shape
                assert actual.dtype == problem.dtype
                same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
                assert np.all((np.abs(actual - expected) <= bound) | same), problem


@pytest.mark.parametrize("op", OPERATIONS.values(), ids=lambda op: op.name)
def test_every_broken_rule_is_refused(kernel: c.CKernel, op: type[Op]) -> None:
    rules = [clause for clause in op.clauses if clause.kind == "rule"]
    for seed in range(10):
        pick = RandomPick(f"{op.name} {seed}", np.dtype("float32"), 10_000)
        problem = op.draw(pick)
        for clause in rules:
            assert clause.broken is not None
            invalid = clause.broken(problem, pick)
            with pytest.raises((ValueError, TypeError)):
                getattr(kernel, op.name)(invalid)


def test_refusals_name_the_status(kernel: c.CKernel) -> None:
    x = np.ones((1, 1, 2, 2), np.float32)
    with pytest.raises(ValueError, match=re.escape("conv2d: refused, status 1 (invalid problem)")):
        kernel.conv2d(Conv2d(x=x, weight=np.ones((1, 1, 3, 3), np.float32)))
    with pytest.raises(ValueError, match="does not fit 64 bits"):
        kernel.conv2d(Conv2d(x=x, weight=x, stride=2**70))
    with pytest.raises(TypeError, match="weight is float64; it must be float32"):
        kernel.conv2d(Conv2d(x=x, weight=x.astype(np.float64)))
    with pytest.raises(Unsupported, match="no float16 version"):
        kernel.relu(Relu(x=x.astype(np.float16)))


def test_huge_numbers_do_not_overflow(kernel: c.CKernel) -> None:
    x, one, three = (np.ones((1, 1, n, n), np.float32) for n in (5, 1, 3))
    most = 2**63 - 1
    assert kernel.conv2d(Conv2d(x=x, weight=three, stride=most)).tolist() == [[[[9.0]]]]
    assert kernel.conv2d(Conv2d(x=x, weight=one, dilation=most)).sum() == 25
    with pytest.raises(ValueError, match="status 1"):
        kernel.conv2d(Conv2d(x=x, weight=three, dilation=most))
    with pytest.raises(Unsupported):
        kernel.conv2d(Conv2d(x=x, weight=three, padding=most))
    with pytest.raises(MemoryError):
        kernel.conv2d(Conv2d(x=x, weight=one, padding=((2**60, 0), (2**60, 0)), stride=2**60))


BROKEN = """
#include "convspec.h"

int relu_shape(const struct relu *p, int64_t shape[1])
{
    shape[0] = p->elements == 6 ? -1 : p->elements;
    return p->elements == 5 ? CONVSPEC_UNSUPPORTED : CONVSPEC_OK;
}

/* Does its work, and one thing that it must not do: the number of elements says which. */
int relu_f32(const struct relu *p, const float *x, float *y)
{
    for (int64_t e = 0; e < p->elements; e++)
        y[e] = x[e] > 0 ? x[e] : 0;
    switch (p->elements) {
    case 1: y[-1] = 0; break;
    case 2: y[2] = 0; break;
    case 3: ((float *)x)[1] = 9; break;
    case 4: return 7;
    case 7: ((float *)x)[7] = 0; break;
    }
    return CONVSPEC_OK;
}
"""


def test_stray_writes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "broken.c"
    source.write_text(BROKEN)
    library = c.CLibrary(c.compiled("broken", c.compiler(), [source], [source]))
    assert library.dtypes == ("float32",)
    assert not hasattr(library, "conv2d")

    def relu(elements: int) -> object:
        return library.relu(Relu(x=np.arange(elements, dtype=np.float32)))  # type: ignore[attr-defined]

    for elements, said in (
        (1, "relu: the kernel wrote in front of y"),
        (2, "relu: the kernel wrote behind y"),
        (3, "relu: the kernel wrote into its input x"),
        (7, "relu: the kernel wrote behind x"),
    ):
        with pytest.raises(c.GuardViolation, match=f"^{said}$"):
            relu(elements)
    with pytest.raises(ValueError, match="status 7"):
        relu(4)
    with pytest.raises(Unsupported):
        relu(5)
    with pytest.raises(RuntimeError, match="negative size"):
        relu(6)
    assert np.array_equal(relu(8), np.arange(8))  # type: ignore[arg-type]


def test_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "one.c"
    source.write_text("int one(void) { return 1; }")
    first = c.compiled("one", c.compiler(), [source], [source])
    made = first.stat().st_mtime_ns
    assert c.compiled("one", c.compiler(), [source], [source]) == first
    assert first.stat().st_mtime_ns == made
    source.write_text("int one(void) { return 2; }")
    assert c.compiled("one", c.compiler(), [source], [source]) != first
    assert sorted(p.suffix for p in (tmp_path / "convspec").iterdir()) == [
        ".so",
        ".so",
    ]  # nothing temporary is left
    with pytest.raises(CannotLoad, match="exports no operation") as info:
        c.CLibrary(first)
    assert "\n" not in str(info.value)


def test_what_cannot_be_compiled_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "wrong.c"
    source.write_text("#error there is a mistake\n")
    with pytest.raises(CannotLoad, match="there is a mistake") as info:
        c.compiled("wrong", c.compiler(), [source], [source])
    assert "\n" not in str(info.value)
    with pytest.raises(CannotLoad, match="cannot be loaded"):
        c.CLibrary(source)


def test_a_missing_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/nonexistent/cc -m64")
    with pytest.raises(CannotLoad, match="/nonexistent/cc") as info:
        c.CKernel()
    assert "\n" not in str(info.value)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotLoad, match="no C compiler") as info:
        c.CKernel()
    assert "\n" not in str(info.value)
