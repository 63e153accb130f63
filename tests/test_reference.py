"""The reference against plain loops in exact arithmetic, and by hand."""

from __future__ import annotations

import itertools
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from convspec.reference import (
    OPS,
    SPECIFIED,
    AvgPool2d,
    Clause,
    Composition,
    Conv2d,
    InvalidProblem,
    Linear,
    MaxPool2d,
    MaxPool2dBackward,
    Op,
)
from convspec.reference.formats import FORMATS, dtype_named
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import is_whole

from . import loops
from .broken.base import masked

Array = npt.NDArray[np.float64]

DTYPES = tuple(FORMATS)
CASES = {"float32": 70, "float64": 70, "float16": 12, "bfloat16": 12}
ONLY_SELECTING = {"pad2d", "max_pool2d", "relu", "relu_backward"}
DIVIDING = {"avg_pool2d", "dropout", "dropout2d", "avg_pool2d_backward", "max_pool2d_backward"}
NORMS = {"batch_norm2d", "sync_batch_norm2d", "layer_norm", "group_norm", "instance_norm2d", "pixel_group_norm"}
NORMS |= {"local_response_norm"}
NORM_GRADIENTS = {"layer_norm_backward", "group_norm_backward", "batch_norm2d_backward"}
EDGES = [pytest.param(op, c, id=c.name) for op in SPECIFIED for c in op.clauses if c.kind == "edge"]


def problems(op: type[Op], dtype: str, budget: int = 3000) -> list[Op]:
    """Drawn problems that loops can afford."""
    drawn = (
        masked(op.draw(RandomPick(f"reference {op.name} {i}", dtype_named(dtype), budget))) for i in itertools.count()
    )
    return list(itertools.islice((p for p in drawn if loops.work(p) <= budget), CASES[dtype]))


def compare_with_loops(problem: Op) -> None:
    """`expected()` and `truth()` against exact rationals, with the error that float64 forces and no more."""
    answers = loops.outputs(problem, loops.rounded if problem.name in ONLY_SELECTING else loops.exact)
    references, truths, shapes = problem.references(), problem.truths(), problem.output_shapes()
    assert answers.keys() == references.keys() == truths.keys() == shapes.keys()
    for name, due in answers.items():
        expected, (hi, lo) = references[name], truths[name]
        assert expected.dtype == hi.dtype == lo.dtype == np.float64
        assert expected.shape == hi.shape == lo.shape == due.shape == shapes[name], problem
    if problem.name in NORM_GRADIENTS:  # two sums, and three factors each of which is off by half of one
        sizes = loops.outputs(problem, loops.rounded, magnitude=True)
        for name, due in answers.items():
            share = Fraction(4 * loops.work(problem) // max(problem.arrays()["x"].size, 1) + due.size + 64, 2**53)
            compare_within(problem, name, due, np.asarray(sizes[name], np.float64), share)
        return
    if problem.name in NORMS:  # two sums and ten operations, sized (|x| + mean|x|) / deviation * |weight| + |bias|
        sizes = loops.outputs(problem, loops.rounded, magnitude=True)
        share = Fraction(loops.work(problem) // max(answers[problem.outputs[0]].size, 1) + 16, 2**53)
        for name, due in answers.items():
            compare_within(problem, name, due, np.asarray(sizes[name], np.float64), share)
        return
    if problem.name in ONLY_SELECTING:
        (due,), expected, (hi, lo) = answers.values(), problem.expected(), problem.truth()
        assert np.array_equal(expected, np.asarray(due, np.float64)), problem
        assert np.array_equal(hi, expected), problem
        assert not lo.any(), problem
        return
    # |y - exact| <= (T + 2) u B in any order of summation, T terms; nothing where float64 holds every partial sum.
    for name, size in loops.outputs(problem, loops.modulus).items():
        sizes = np.asarray(size, np.float64)
        terms = loops.work(problem) // max(size.size, 1) + 1 if len(answers) == 1 else loops.work(problem)
        whole = is_whole(*problem.arrays().values()) and problem.name not in DIVIDING and bool(np.all(sizes < 2.0**53))
        compare_within(problem, name, answers[name], sizes, Fraction(0) if whole else Fraction(terms + 2, 2**53))


def compare_within(problem: Op, name: str, due: Any, size: Array, share: Fraction) -> None:
    """`expected()` to that share of the size of the terms, `truth()` to 90 bits where x is float64; and what is lost
    where products of float64 underflow, a spacing of its subnormals for each."""
    lost = loops.work(problem) * Fraction(2) ** -1074
    expected, (hi, lo) = problem.references()[name], problem.truths()[name]
    for index in np.ndindex(due.shape):
        exact, magnitude = due[index], Fraction(float(size[index]))
        assert abs(Fraction(float(expected[index])) - exact) <= share * magnitude + lost, (problem, index)
        pair = Fraction(float(hi[index])) + Fraction(float(lo[index]))
        if problem.dtype == np.float64 and not problem.random:  # a split of ties is one of many
            assert abs(pair - exact) <= magnitude / 2**90 + lost, (problem, index)
        else:
            assert abs(pair - exact) <= share * magnitude, (problem, index)
        assert abs(lo[index]) <= 2 * abs(np.spacing(hi[index])), (problem, index)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_reference_is_the_docstring_in_exact_arithmetic(op: type[Op], dtype: str) -> None:
    for problem in problems(op, dtype):
        compare_with_loops(problem)


def test_a_tied_window_without_a_gradient_moves_nothing() -> None:
    x = np.array([1.0, 1, 1, 0, 1, 0, 0, 0]).reshape(1, 1, 1, 8)  # 0, 1, 2 tie for 1; 2 and 4 tie for nothing
    grad, answer = np.array([1.0, 0, 0, 1, -1]).reshape(1, 1, 1, 5), np.zeros_like(x)
    answer[..., 0] = 1
    problem = MaxPool2dBackward(x=x, kernel_size=(1, 4), stride=1, grad_output=grad).settled(answer)
    alone = problem.expected()[0, 0, 0, 3:]
    assert np.array_equal(alone, np.zeros(5))  # 1 - 1, exactly
    assert not problem.bound()[0, 0, 0, 3:].any()


@pytest.mark.parametrize(("op", "clause"), EDGES)
def test_edges_are_valid_and_right(op: type[Op], clause: Clause) -> None:
    for i, dtype in itertools.product(range(12), ("float32", "float64")):
        problem = masked(clause.enforce(RandomPick(f"{clause.name} {i}", dtype_named(dtype), 1000)))
        assert type(problem) is op
        assert problem.broken_rules() == ()
        assert problem.output_shape() == problem.references()[problem.outputs[0]].shape == loops.shape(problem)
        assert all(array.dtype == dtype for array in problem.arrays().values())
        if isinstance(problem, Composition):
            continue
        if loops.work(problem) <= 1500:
            compare_with_loops(problem)


@pytest.mark.parametrize("name", ["pad2d", "max_pool2d", "avg_pool2d", "relu", "conv2d", "locally_connected2d"])
def test_reference_carries_nan_and_infinities_as_loops_do(name: str) -> None:
    op = next(op for op in OPS if op.name == name)
    random = np.random.default_rng(5)
    for problem in problems(op, "float64", 1000)[:40]:
        x = np.array(problem.arrays()["x"])
        x.flat[random.integers(x.size, size=3)] = random.choice((np.nan, np.inf, -np.inf), 3)
        spoilt = problem.but(x=x)
        with np.errstate(invalid="ignore"):
            due = np.asarray(loops.compute(spoilt, loops.rounded), np.float64)
            np.testing.assert_allclose(spoilt.expected(), due, rtol=1e-11, atol=1e-11)


# By hand.


def test_shorthand_and_lists_are_enough_for_a_student() -> None:
    assert Conv2d(x=[[[[1, 2, 3]]]], weight=[[[[1, 10]]]]).expected().tolist() == [[[[21.0, 32.0]]]]
    image = [[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]]
    problem = Conv2d(x=image, weight=[[[[1, 1], [1, 1]]]], bias=[100], stride=2, padding=1)
    assert problem.stride == (2, 2)
    assert problem.padding == ((1, 1), (1, 1))
    assert problem.expected().tolist() == [[[[101.0, 105.0], [111.0, 128.0]]]]
    assert problem.but(padding=(1, 0)).padding == ((1, 1), (0, 0))
    assert problem.but(padding=[[1, 0], [0, 2]]).padding == ((1, 0), (0, 2))
    assert Linear(x=[[1, 2]], weight=[[3, 4]]).expected().tolist() == [[11.0]]
    assert MaxPool2d(x=image, kernel_size=2, stride=1).expected().tolist() == [[[[5.0, 6.0], [8.0, 9.0]]]]
    assert AvgPool2d(x=image, kernel_size=3, stride=1).expected().tolist() == [[[[5.0]]]]


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (Conv2d(x=[[[[1.0]]]], weight=[[[[1.0, 2.0]]]]), "The padded image is at least as long as the dilated filter"),
        (Conv2d(x=[[[[1.0]]]], weight=[[[[1.0]]]], stride=0), "Both strides are at least 1."),
        (Conv2d(x=[[1.0]], weight=[[[[1.0]]]]), "x and weight have four axes, and bias, if there is one, has one."),
        (Linear(x=[[1.0, 2.0]], weight=[[1.0]]), "A row of weights is as long as a row of x."),
    ],
)
def test_an_invalid_problem_is_refused_in_words(problem: Op, sentence: str) -> None:
    with pytest.raises(InvalidProblem, match=sentence):
        problem.expected()


def test_the_reference_needs_numpy_alone() -> None:
    """`import convspec.reference` brings in NumPy and the standard library, and the package's own names."""
    program = """if True:
        import sys
        import numpy
        before = set(sys.modules)
        import convspec.reference
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        convspec.reference.Conv2d(x=[[[[1, 2, 3]]]], weight=[[[[1, 10]]]]).expected()
        print(*sorted(new - sys.stdlib_module_names))
    """
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) <= {"convspec", "numpy"}
