"""Every known deviation that ships is one: its smallest case, run again, is wrong in the way that its entry says."""

from __future__ import annotations

import ast
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from convspec import reference
from convspec.adapters import Backend, Lost, load
from convspec.conformance.case import Case, called
from convspec.conformance.checks import all_clauses
from convspec.conformance.compare import Violation, judge
from convspec.conformance.expectations import Expectation, expectations_for
from convspec.conformance.sweep import Clock, Oracle
from convspec.reference import Conv2dBackward, Dropout, Dropout2d, Op
from convspec.reference.pick import ReplayPick

torch = pytest.importorskip("torch")

from convspec.adapters.onednn_faults import PAIRS_OF_BFLOAT16  # noqa: E402 - it imports torch

MEASURED = "2.13"  # the version of PyTorch whose deviations they are
CLAUSES = {clause.name: clause for clause in all_clauses()}
NAMES = {op.__name__: op for op in reference.SPECIFIED} | {"np": np, "torch": torch, "bfloat16": bfloat16}


@dataclass(frozen=True)
class Entry:
    """An entry of a shipped file; the first of its clause has the number 0."""

    backend: str
    number: int
    told: Expectation

    @property
    def clause(self) -> str:
        return self.told.clause

    @property
    def case(self) -> str:
        return self.told.case

    @property
    def key(self) -> str:
        return f"{self.clause} {self.number}"


def shipped() -> list[Entry]:
    files = (file.name for file in resources.files("convspec.conformance").iterdir())
    found: list[Entry] = []
    for backend in sorted(name[11:-5] for name in files if name.startswith("deviations-")):
        known = expectations_for(backend, None)
        before = [told.clause for told in known]
        found += [Entry(backend, before[:k].count(told.clause), told) for k, told in enumerate(known)]
    return found


# What a processor must have for an entry to be seen, by the entry: it is oneDNN's choice of a kernel.


def _has(*instructions: str) -> bool:
    return all(getattr(torch.cpu, f"_is_{name}_supported", lambda: False)() for name in instructions)


def _pairs() -> bool:
    """Does oneDNN take bfloat16 in pairs, and none of the tiles of AMX in their place?"""
    return PAIRS_OF_BFLOAT16 and not _has("amx_tile")


PAIRS = _pairs, "with what this processor has, oneDNN does not take bfloat16 in pairs"
INSTRUCTION = lambda: _pairs() and _has("avx512_bf16"), "the processor lacks AVX512_BF16, or has AMX too"
AMX = lambda: _has("amx_tile"), "seen with AMX alone"
X86 = lambda: platform.machine() in ("x86_64", "AMD64"), "seen with oneDNN's kernels for x86 alone"

NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "conv2d.nan_reaches_no_other_output 0": PAIRS,
    "conv2d.one_nan_touches_its_field 0": PAIRS,
    "convolve2d.one_nan_touches_its_field 0": PAIRS,
    "conv2d.what_is_not_finite_passes_every_tap 0": PAIRS,
    "convolve2d.what_is_not_finite_passes_every_tap 0": PAIRS,
    "conv2d_backward.what_is_not_finite_passes_every_tap 0": PAIRS,
    "conv2d.views_equal_copies 0": INSTRUCTION,
    "conv2d.views_equal_copies 1": INSTRUCTION,
    "conv2d_backward.views_equal_copies 0": PAIRS,
    "conv2d_backward.views_equal_copies 1": PAIRS,
    "conv2d_backward.views_equal_copies 2": PAIRS,
    "conv2d_backward.what_is_not_finite_passes_every_tap 1": PAIRS,
    "conv2d_backward.one_nan_touches_its_field 0": X86,
    "conv2d_backward.one_nan_touches_its_field 1": AMX,
    "linear.nan_stays_in_its_row 0": AMX,
    "linear_backward.one_nan_touches_its_field 0": AMX,
}


# Cases that are one problem.


def wrong_with(backend: Backend, entry: Entry) -> str:
    """What is wrong with the answer to a problem; nothing if it is as specified."""
    problem, clause = eval(entry.case, dict(NAMES)), CLAUSES[entry.clause]
    assert isinstance(problem, Op), f"{entry.key}: the case is no problem"
    assert problem.name == clause.op, f"{entry.key}: the case is of {problem.name}"
    assert entry.told.explains(entry.clause, problem), f"{entry.key}: its condition does not hold for its case"
    if clause.kind == "rule":
        rule = clause.name.split(".")[1]
        assert rule in problem.broken_rules(), f"{entry.key}: the case does not break the rule"
        return _accepted(backend, problem)
    try:
        case = Case(problem, backend, Oracle(Clock()), Clock(), ReplayPick([], problem.dtype, 100_000))
        answers = case.answers(problem)
        judge(problem, answers, case.truths(problem, answers), case.arithmetic)
    except Violation as violation:
        return "" if clause.may_refuse and violation.cause.startswith("raised") else violation.message
    return ""


def _accepted(backend: Backend, problem: Op) -> str:
    try:
        called(backend, problem)
    except Lost:
        raise
    except Exception:
        return ""
    return "accepted"


# Cases that are scripts: what each of them shows, seen from its variables and from the values of its expressions.


@dataclass(frozen=True)
class Ran:
    """A script that ran to its end."""

    names: dict[str, Any]
    values: list[Any]

    @classmethod
    def of(cls, script: str) -> Ran:
        names, values = dict(NAMES), []
        threads = torch.get_num_threads()  # which a script may set
        try:
            for node in ast.parse(script).body:
                if isinstance(node, ast.Expr):
                    values.append(eval(compile(ast.Expression(node.value), "case", "eval"), names))
                else:
                    exec(compile(ast.Module([node], []), "case", "exec"), names)
        finally:
            torch.set_num_threads(threads)
        return cls(names, values)


def _nan_beside_a_filter(ran: Ran) -> bool:
    """The first pixel lies under the NaN; the last under a tap that is zero, and under nothing else."""
    return bool(ran.names["x"].grad[:, 0, 0, 2].isnan().any())


def _nan_beside_a_window(ran: Ran) -> bool:
    """The second window, whose gradient is NaN, begins at the third pixel."""
    return bool(ran.values[-1][0][0, 0, 0, :2].isnan().any())


def _nan_for_infinity(ran: Ran) -> bool:
    """Both taps of the first filter meet the infinity with a one."""
    return bool(ran.values[-1][0][0].isnan().any())


def _not_all_six(ran: Ran) -> bool:
    return bool(ran.values[-1].ne(6).any())


def _infinite_if_turned(ran: Ran) -> bool:
    straight, turned = ran.values
    return bool(straight.isfinite().all() and turned[0, 0, 1, 0].isinf())


def _dropped_elsewhere(ran: Ran) -> bool:
    torch.manual_seed(0)
    due = torch.nn.functional.dropout(ran.names["x"].contiguous())
    return not torch.equal(ran.values[-1][1], due)


def _not_as_with_a_contiguous_weight(ran: Ran) -> bool:
    x, weight = ran.names["x"], ran.names["weight"].contiguous()
    y = torch.nn.functional.batch_norm(x, None, None, weight, None, training=True)
    (due,) = torch.autograd.grad(y, x, torch.tensor([[1.0], [2]]).repeat(1, 3)[:, :, None, None])
    return not torch.allclose(ran.values[-1][0], due, rtol=1e-3, atol=0)


def _nan_if_turned(ran: Ran) -> bool:
    x = ran.names["x"]
    rows = x.detach().contiguous().requires_grad_()
    y = torch.nn.functional.batch_norm(rows, None, None, training=True)
    y.backward(torch.arange(6.0).half().reshape(y.shape))
    return bool(x.grad.isnan().all() and rows.grad.isfinite().all())


def _infinite_if_channels_last(ran: Ran) -> bool:
    (rows,), (last,) = ran.values
    return bool(rows.isfinite().all() and last.isinf().all())


def _nan_from_beside(ran: Ran) -> bool:
    """All that the convolution is given is zero."""
    return bool(ran.values[-1][0].isnan().all())


def _nan_in_another_row(ran: Ran) -> bool:
    """The NaN is in the second row; of the answer, or of the only gradient."""
    last = ran.values[-1]
    return bool((last[0] if isinstance(last, tuple) else last)[0].isnan().any())


def _not_both_62(ran: Ran) -> bool:
    return bool(ran.values[-1][0].ne(62).any())


SCRIPTS: dict[str, Callable[[Ran], bool]] = {
    "conv2d_backward.one_nan_touches_its_field 0": _nan_beside_a_filter,
    "conv2d_backward.what_is_not_finite_passes_every_tap 0": _nan_beside_a_window,
    "conv2d_backward.what_is_not_finite_passes_every_tap 1": _nan_for_infinity,
    "conv2d.views_equal_copies 0": _not_all_six,
    "batch_norm2d.views_equal_copies 0": _infinite_if_turned,
    "dropout.views_equal_copies 0": _dropped_elsewhere,
    "batch_norm2d_backward.views_equal_copies 0": _not_as_with_a_contiguous_weight,
    "batch_norm2d_backward.views_equal_copies 1": _nan_if_turned,
    "batch_norm2d_backward.views_equal_copies 2": _infinite_if_channels_last,
    "linear.nan_stays_in_its_row 0": _nan_in_another_row,
    "linear_backward.one_nan_touches_its_field 0": _nan_in_another_row,
    "conv2d_backward.views_equal_copies 1": _not_both_62,
    "conv2d_backward.views_equal_copies 2": _nan_from_beside,
}


# Cases that cannot be run here, or are told in words.


def _ends_the_process(backend: Backend, case: str) -> bool:
    """In a process of its own, which a signal ends."""
    ended = subprocess.run([sys.executable, "-c", f"import torch\n{case}"], capture_output=True, timeout=300)
    return ended.returncode < 0


def _is_not_called(backend: Backend, case: str) -> bool:
    """The gradients of the convolution that would end the process are refused by the adapter, if it is the same."""
    assert case == "that of conv2d.views_equal_copies"
    problem = Conv2dBackward(
        x=np.zeros((1, 9, 1, 3), bfloat16).transpose(0, 3, 1, 2),
        weight=np.ones((1, 3, 2, 1), bfloat16),
        grad_output=np.zeros((1, 1, 10, 2), bfloat16),
        stride=(1, 2),
        padding=((1, 1), (1, 1)),
        dilation=(1, 2),
    )
    problem.validate()
    with pytest.raises(RuntimeError, match="not called: oneDNN"):
        backend.call(problem)
    return True


def _one_mask(op: type[Op]) -> Callable[[Backend, str], bool]:
    """Is the mask of a seed beyond 32 bits that of its lower half, and that of another seed another one?"""

    def shown(backend: Backend, case: str) -> bool:
        low, high, other = (
            backend.call(op(x=np.ones((8, 8, 1, 1), np.float32), p=0.5, training=True, seed=seed))
            for seed in (0, 2**32, 1)
        )
        return np.array_equal(low, high) and not np.array_equal(low, other)

    return shown


OTHERWISE: dict[str, Callable[[Backend, str], bool]] = {
    "conv2d.views_equal_copies 1": _ends_the_process,
    "conv2d_backward.views_equal_copies 0": _is_not_called,
    "dropout.seeds_are_told_apart_beyond_32_bits 0": _one_mask(Dropout),
    "dropout2d.seeds_are_told_apart_beyond_32_bits 0": _one_mask(Dropout2d),
}


def deviates(entry: Entry) -> None:
    """Run the case of an entry; an AssertionError says that nothing is wrong with it."""
    backend = load(entry.backend)
    if entry.key in SCRIPTS:
        wrong: Any = SCRIPTS[entry.key](Ran.of(entry.case))
    elif entry.key in OTHERWISE:
        wrong = OTHERWISE[entry.key](backend, entry.case)
    else:
        wrong = wrong_with(backend, entry)
    assert wrong, f"{entry.key}: the case does not deviate"


@pytest.mark.parametrize("entry", shipped(), ids=lambda entry: entry.key.replace(" ", "-"))
def test_a_known_deviation_is_one(entry: Entry) -> None:
    if entry.backend == "torch" and not torch.__version__.startswith(MEASURED):
        pytest.skip(f"the entries are of PyTorch {MEASURED}, here is {torch.__version__}")
    seen, why = NEEDS.get(entry.key, (None, ""))
    if seen is not None and not seen():
        pytest.skip(why)
    deviates(entry)


def test_every_entry_that_has_a_way_of_its_own_is_there() -> None:
    assert {*NEEDS, *SCRIPTS, *OTHERWISE} <= {entry.key for entry in shipped()}


def made_up(clause: str, case: str, when: str = "True") -> Entry:
    name, _, number = clause.partition(" ")
    return Entry("torch", int(number or 0), Expectation(name, "made up", case, "", compile(when, "when", "eval")))


RIGHT = {
    "a problem that is refused": (
        made_up(
            "conv2d.groups_divide_channels",
            "Conv2d(x=np.zeros((1, 3, 1, 1), np.float32), weight=np.zeros((2, 1, 1, 1), np.float32), groups=2)",
        ),
        "does not deviate",
    ),
    "a right answer": (
        made_up("relu.within_the_bound", "Relu(x=np.array([-1, 2], np.float32))"),
        "does not deviate",
    ),
    "a problem that breaks no rule": (
        made_up("layer_norm.eps_is_not_negative", "LayerNorm(x=np.zeros((1, 2), np.float32), axes=1, eps=1.0)"),
        "does not break the rule",
    ),
    "a case beside its condition": (
        made_up("relu.within_the_bound", "Relu(x=np.array([-1, 2], np.float32))", "x.shape[0] == 3"),
        "condition does not hold",
    ),
    "a problem of another operation": (
        made_up("linear.within_the_bound", "Relu(x=np.ones(1, np.float32))"),
        "is of relu",
    ),
    "a value": (made_up("relu.within_the_bound", "np.ones(1)"), "is no problem"),
    "a script that shows nothing": (
        made_up("batch_norm2d.views_equal_copies", "x = torch.zeros(1, 1, 2, 3)\nx + 1\nx + 1"),
        "does not deviate",
    ),
    "a process that ends well": (made_up("conv2d.views_equal_copies 1", "torch.zeros(1)"), "does not deviate"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_an_entry_that_does_not_deviate_is_found(name: str) -> None:
    entry, told = RIGHT[name]
    with pytest.raises(AssertionError, match=told):
        deviates(entry)


def test_a_wrong_answer_is_found() -> None:
    """One of a rule that is kept, and one of a value: not only what refuses to run is told apart."""

    class Doubles:
        def relu(self, problem: Any) -> Any:
            return 2 * np.maximum(problem.x, 0)

    backend = Backend.of("doubles", Doubles(), "test")
    entry = made_up("relu.within_the_bound", "Relu(x=np.array([-1, 2], np.float32))")
    assert "got 4, expected 2" in wrong_with(backend, entry)
