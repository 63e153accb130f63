"""The C interface: header, structs and classes agree; stray writes and missing compilers are told."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convspec.adapters import Lost, c, c_compile, c_memory, load_apart
from convspec.adapters.c_interface import INTERFACES
from convspec.adapters.errors import CannotLoad, Unsupported
from convspec.reference import OPS, Relu

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


def members_of(name: str) -> list[str]:
    """The declarations of a struct of the header; of a forward problem inside, its own."""
    body = re.search(rf"struct {name} \{{(.*?)\}};", HEADER, re.DOTALL)
    assert body is not None
    members = []
    for declaration in (line.strip() for line in body[1].split(";") if line.strip()):
        found = re.fullmatch(r"(const int64_t|int64_t|double|struct \w+) (.*)", declaration)
        assert found is not None, declaration
        kind, names = found.groups()
        if kind.startswith("struct "):
            members += members_of(kind.removeprefix("struct "))
        else:
            members += [f"{kind} {one.strip()}" for one in names.split(",")]
    return members


@pytest.mark.parametrize("name", INTERFACES)
def test_header_structs_and_classes_agree(name: str) -> None:
    interface = INTERFACES[name]
    members = members_of(name)
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
    assert [part.field for part in interface.parts] == [f for f in fields if f != "axes"]
    assert interface.arrays == tuple(f for f in fields if f in op._tensors)
    assert tuple(o.removeprefix("new_") for o in interface.outputs) == op.outputs


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

int batch_norm2d_shape(const struct batch_norm2d *p, int64_t shape[4])
{
    shape[0] = p->n, shape[1] = p->c, shape[2] = p->h, shape[3] = p->w;
    return CONVSPEC_OK;
}

/* Here n says which; the renewed variance is forgotten. */
int batch_norm2d_f32(const struct batch_norm2d *p, const float *x, const float *weight, const float *bias,
                     const float *running_mean, const float *running_var, float *y, float *new_running_mean,
                     float *new_running_var)
{
    if (p->running_mean_c == -1)
        return new_running_mean == 0 && new_running_var == 0 ? CONVSPEC_OK : CONVSPEC_INVALID;
    for (int64_t c = 0; c < p->c; c++)
        new_running_mean[c] = c;
    switch (p->n) {
    case 1: new_running_mean[-1] = 0; break;
    case 2: new_running_mean[p->c] = 0; break;
    case 3: new_running_var[-1] = 0; break;
    case 4: new_running_var[p->c] = 0; break;
    case 5: ((float *)running_var)[0] = 0; break;
    }
    return CONVSPEC_OK;
}
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> c.CLibrary:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "broken.c"
    source.write_text(BROKEN)
    return c.CLibrary(c.compiled("broken", c.compiler(), [source], [source]))


def test_stray_writes_are_told(broken: c.CLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken.dtypes == ("float32",)
    assert not hasattr(broken, "conv2d")

    def relu(elements: int) -> object:
        return broken.relu(Relu(x=np.arange(elements, dtype=np.float32)))  # type: ignore[attr-defined]

    for elements, said in (
        (1, "relu: the kernel wrote in front of y"),
        (2, "relu: the kernel wrote behind y"),
        (3, "relu: the kernel wrote into its input x"),
        (7, "relu: the kernel wrote behind x"),
    ):
        # Beyond the other end lies a page that ends the process.
        monkeypatch.setattr(c_memory, "ends", lambda shapes, first, said=said: "behind" not in said)
        with pytest.raises(c.GuardViolation, match=f"^{said}$"):
            relu(elements)
    with pytest.raises(ValueError, match="status 7"):
        relu(4)
    with pytest.raises(Unsupported):
        relu(5)
    with pytest.raises(RuntimeError, match="negative size"):
        relu(6)
    assert np.array_equal(relu(8), np.arange(8))  # type: ignore[arg-type]


READS = """
#include "convspec.h"

int relu_shape(const struct relu *p, int64_t shape[1])
{
    shape[0] = p->elements;
    return CONVSPEC_OK;
}

int relu_f32(const struct relu *p, const float *x, float *y)
{
    volatile float seen = x[0];
    if (x[0] == 1) seen = x[-1];
    if (x[0] == 2) seen = x[p->elements];
    if (x[0] == 3) y[p->elements] = seen;
    for (int64_t e = 0; e < p->elements; e++) y[e] = x[e] > 0 ? x[e] : 0;
    return CONVSPEC_OK;
}
"""


def test_one_element_read_outside_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "reads.c"
    source.write_text(READS)
    library = load_apart(str(c.compiled("reads", c.compiler(), [source], [source])))
    sides = []
    for word, at_end in ((1, False), (2, True), (3, True)):
        # The same shape lies at either end, by its other numbers.
        tried = [np.array([word, k, 0, 0], np.float32) for k in range(1, 50)]
        sides.append([c_memory.ends([(4,), (4,)], x) for x in tried])
        x = tried[sides[-1].index(at_end)]
        with pytest.raises(Lost, match=r"SIGSEGV.*outside of an array"):
            library.call(Relu(x=x))
    assert library.call(Relu(x=np.arange(4, 24, dtype=np.float32))).tolist() == list(range(4, 24))
    library.close()
    for found in sides:
        assert 10 < sum(found) < 40


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_calls_that_laws_compare_to_the_bit_lie_at_the_same_end(dtype: str) -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        x = random.standard_normal((3, 5)).astype(dtype)
        side = c_memory.ends([(3, 5), (3, 5)], x)
        assert {c_memory.ends([(3, 5), (3, 5)], y) for y in (x.copy(), 2 * x, -x, x / 4)} == {side}


SHARES = """
#define _POSIX_C_SOURCE 199309L
#include "convspec.h"
#include <string.h>
#include <time.h>

int relu_shape(const struct relu *p, int64_t shape[1])
{
    shape[0] = p->elements;
    return CONVSPEC_OK;
}

/* Works in one buffer for all calls, and leaves every fourth element unwritten if there are six. */
int relu_f32(const struct relu *p, const float *x, float *y)
{
    static float held[8];
    memcpy(held, x, p->elements * sizeof(float));
    nanosleep(&(struct timespec){0, 1000000}, NULL);
    for (int64_t e = 0; e < p->elements; e++)
        if (p->elements != 6 || e % 4 != 3)
            y[e] = held[e] > 0 ? held[e] : 0;
    return CONVSPEC_OK;
}
"""


@pytest.fixture
def shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = tmp_path / "shares.c"
    source.write_text(SHARES)
    return c.compiled("shares", c.compiler(), [source], [source])


@pytest.mark.parametrize("apart", ["none", "process"])
def test_threads_meet_in_the_kernel(shares: Path, apart: str) -> None:
    library = load_apart(str(shares), apart)
    assert library.prepares
    both = [Relu(x=np.full(5, value, np.float32)) for value in (1, 2)]
    assert [library.call(problem).tolist() for problem in both] == [[1] * 5, [2] * 5]
    assert library.together(both[:1], 2)[0][0].tolist() == [1] * 5
    one, two = library.together(both, 2)
    assert one[0].tolist() == [2] * 5 or two[0].tolist() == [1] * 5
    library.close()


def test_an_element_that_is_never_written_shows(shares: Path) -> None:
    y = c.CLibrary(shares).relu(Relu(x=np.ones(6, np.float32)))  # type: ignore[attr-defined]
    assert np.isnan(y).tolist() == [False, False, False, True, False, False]


def test_every_output_has_guard_bands(broken: c.CLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    def batch_norm(n: int, **absent: None) -> Any:
        ones = np.ones(3, np.float32)
        arrays = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), ones) | absent
        x = np.ones((n, 3, 1, 2), np.float32)
        problem = SimpleNamespace(x=x, training=True, momentum=0.1, eps=1e-5, **arrays)
        return broken.batch_norm2d(problem)  # type: ignore[attr-defined]

    for n, said in (
        (1, "in front of new_running_mean"),
        (2, "behind new_running_mean"),
        (3, "in front of new_running_var"),
        (4, "behind new_running_var"),
        (5, "into its input running_var"),
    ):
        monkeypatch.setattr(c_memory, "ends", lambda shapes, first, said=said: "behind" not in said)
        with pytest.raises(c.GuardViolation, match=f"^batch_norm2d: the kernel wrote {said}$"):
            batch_norm(n)
    y, mean, variance = batch_norm(6)
    assert np.isnan(y).all()  # never written: nothing of an earlier call is seen
    assert mean.tolist() == [0, 1, 2]
    assert np.isnan(variance).all()
    assert batch_norm(6, running_mean=None, running_var=None)[1:] == (None, None)


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
