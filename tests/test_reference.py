"""The reference against plain loops in exact arithmetic, its sizes against counting, its clauses against itself."""

from __future__ import annotations

import itertools
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from convspec.conformance.compare import Vacuous, agree
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
from convspec.reference.formats import FORMATS, dtype_named, format_of, round_to
from convspec.reference.measured import Measured
from convspec.reference.pick import RandomPick
from convspec.reference.rounding import Arithmetic, Bound, is_whole
from convspec.reference.window import Window

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


def clauses(kind: str) -> list[Any]:
    """(operation, clause) of every clause of a kind, named."""
    return [pytest.param(op, c, id=c.name) for op in SPECIFIED for c in op.clauses if c.kind == kind]


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


@pytest.mark.parametrize(("op", "clause"), clauses("edge"))
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


# Sizes.


def grid() -> Any:
    """(n, k, s, d, before, after), all small values that give a window."""
    for n, k, s, d, before, after in itertools.product(range(9), range(1, 5), range(1, 4), (1, 2), range(3), range(3)):
        if n + before + after >= d * (k - 1) + 1:
            yield n, k, s, d, before, after


@pytest.mark.parametrize("ceil", [False, True])
def test_size_is_the_number_of_windows(ceil: bool) -> None:
    for n, k, s, d, before, after in grid():
        window = Window(n, k, s, d, before, after, ceil)
        assert window.fits
        assert window.count == loops.count(n, k, s, d, before, after, ceil), window
        assert window.positions.shape == window.inside.shape == (window.count, k)
        assert window.positions.tolist() == [[i * s + r * d - before for r in range(k)] for i in range(window.count)]


def test_a_window_holds_input_if_one_of_its_taps_lies_on_it() -> None:
    sizes = map(range, (1, 1, 1, 1, 0, 0), (5, 4, 5, 4, 5, 4))
    for length, taps, stride, dilation, before, after in itertools.product(*sizes):
        for ceil in (False, True):
            axis = Window(length, taps, stride, dilation, before, after, ceil)
            if axis.fits:
                assert axis.holds_input() == bool(axis.inside.any(axis=1).all()), axis


def test_size_rounded_up_is_the_specified_formula() -> None:
    """SHP-05: ceil((n + P - e) / s) + 1, less one if the last window starts at n + before or later."""
    for n, k, s, d, before, after in grid():
        size = -(-(n + before + after - d * (k - 1) - 1) // s) + 1
        if (size - 1) * s >= n + before:
            size -= 1
        window = Window(n, k, s, d, before, after, ceil=True)
        assert window.count == size, window


def test_a_window_longer_than_the_padded_axis_does_not_fit() -> None:
    for n, k, d, before, after in itertools.product(range(9), range(1, 5), (1, 2), range(3), range(3)):
        assert Window(n, k, 1, d, before, after).fits == (loops.count(n, k, 1, d, before, after) > 0)


@pytest.mark.parametrize(
    ("n", "p", "f", "stride", "m"),
    [(5, 0, 3, 1, 3), (5, 1, 3, 1, 5), (5, 1, 3, 2, 3), (7, 0, 3, 3, 2), (6, 0, 3, 2, 2), (32, 0, 5, 1, 28),
     (28, 0, 2, 2, 14), (227, 0, 11, 4, 55), (224, 3, 7, 2, 112)],
)  # fmt: skip
def test_size_vectors_of_convolution(n: int, p: int, f: int, stride: int, m: int) -> None:
    """SHP-02, and the lecture's m = floor((n + 2p - f)/S) + 1."""
    problem = Conv2d(x=np.zeros((1, 1, n, n)), weight=np.zeros((1, 1, f, f)), stride=stride, padding=p)
    assert problem.shape() == (1, 1, m, m)


@pytest.mark.parametrize("op", [MaxPool2d, AvgPool2d], ids=lambda op: op.name)
@pytest.mark.parametrize(("n", "k", "s", "p", "o"), [(4, 2, 3, 1, 2), (6, 1, 4, 0, 2), (5, 2, 2, 0, 3)])
def test_size_vectors_of_pooling_rounded_up(op: Any, n: int, k: int, s: int, p: int, o: int) -> None:
    """SHP-05."""
    problem = op(x=np.zeros((1, 1, n, n)), kernel_size=k, stride=s, padding=p, ceil_mode=True)
    assert problem.shape() == (1, 1, o, o)


@pytest.mark.parametrize("ceil", [False, True])
def test_size_grows_with_the_image_and_shrinks_with_the_window(ceil: bool) -> None:
    """SHP-07: never smaller for a larger n or padding, never larger for a larger k, d or s."""
    for n, k, s, d, before, after in grid():
        size = Window(n, k, s, d, before, after, ceil).count
        assert size <= Window(n + 1, k, s, d, before, after, ceil).count
        assert size <= Window(n, k, s, d, before + 1, after, ceil).count
        assert size <= Window(n, k, s, d, before, after + 1, ceil).count
        smaller = [Window(n, k, s + 1, d, before, after, ceil)]
        smaller += [Window(n, k + 1, s, d, before, after, ceil), Window(n, k, s, d + 1, before, after, ceil)]
        assert all(not window.fits or window.count <= size for window in smaller)


# Clauses.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("op", "clause"), clauses("example"))
def test_worked_examples_are_what_the_reference_gives(op: type[Op], clause: Clause, dtype: str) -> None:
    worked = clause.enforce(dtype_named(dtype))
    assert worked
    for problem, output in worked:
        assert type(problem) is op
        assert problem.dtype == dtype_named(dtype)
        printed = output if isinstance(output, tuple) else (output,)
        given = {name: due for name, due in zip(problem.outputs, printed, strict=True) if due is not None}
        assert problem.output_shapes() == {name: due.shape for name, due in given.items()}, problem
        for name, due in given.items():
            np.testing.assert_allclose(problem.references()[name], due, rtol=1e-15, atol=0, err_msg=repr(problem))


@pytest.mark.parametrize(("op", "clause"), clauses("rule"))
def test_a_rule_looks_at_the_elements_of_arrays_only_if_it_says_so(op: type[Op], clause: Clause) -> None:
    """What is made of a valid problem by other elements alone is not asked again whether it obeys the others."""
    depends = False
    for i in range(20):
        problem = op.draw(RandomPick(f"{clause.name} {i}", np.dtype("float32"), 1000))
        for value in (np.nan, -1.0, 0.0):
            other = op(**{**vars(problem.but()), **{k: np.full_like(a, value) for k, a in problem.arrays().items()}})
            depends |= bool(clause.enforce(other)) != bool(clause.enforce(problem))
            assert problem.but(**other.arrays()).broken_rules() == other.broken_rules()
    assert clause.values or not depends


@pytest.mark.parametrize(("op", "clause"), clauses("rule"))
def test_a_broken_rule_is_seen_and_refused_in_its_words(op: type[Op], clause: Clause) -> None:
    assert clause.broken is not None
    name = clause.name.split(".")[1]
    told = 0
    for i in range(40):
        pick = RandomPick(f"{clause.name} {i}", np.dtype("float32"), 1000)
        valid = op.draw(pick)
        assert valid.broken_rules() == ()
        problem = clause.broken(valid, pick)
        broken = problem.broken_rules()
        assert name in broken, (valid, problem, broken)
        told += broken[0] == name
        first = next(c for c in op.clauses if c.name == f"{op.name}.{broken[0]}")
        for refuse in (problem.shape, problem.expected, problem.bound):
            with pytest.raises(InvalidProblem) as refusal:
                refuse()
            assert str(refusal.value).startswith(f"{op.name}: {first.text} Here: {op.name} ")
    assert told >= 36, f"told of its own rule in {told} of 40"


class Rounded:
    """An implementation that gives the reference's answers, rounded once: the best there can be."""

    rounds_products = False
    transforms = False

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def answers(self, problem: Op) -> dict[str, Array]:
        if isinstance(problem, Composition):
            problem.validate()
            return {problem.outputs[0]: np.asarray(problem.follow(self.layer), np.float64)}
        assert all(array.dtype == self.dtype for array in problem.arrays().values()), problem
        problem.validate()
        due = masked(problem).references()
        return {name: round_to(values, format_of(problem.dtype)) for name, values in due.items()}

    def layer(self, problem: Op) -> Any:
        """The answer for one layer of a network."""
        return self.answers(problem)[problem.outputs[0]].astype(problem.dtype)

    def outputs(self, problem: Op) -> dict[str, Measured]:
        bounds = masked(problem).judgements(Arithmetic.ieee(self.dtype))
        return {name: self.measured(value, bounds[name]) for name, value in self.answers(problem).items()}

    def measured(self, value: Array, bound: Bound) -> Measured:
        return Measured(value, np.where(bound.overflows | np.isinf(value), np.inf, bound.tolerance))

    def values(self, problem: Op) -> Array:
        return self.answers(problem)[problem.outputs[0]]

    def __call__(self, problem: Op) -> Measured:
        return self.outputs(problem)[problem.outputs[0]]

    def convention(self, name: str) -> str:
        return ""


class Sloppy(Rounded):
    """An implementation as far off as the bound and the format allow, wherever the result is not forced."""

    def layer(self, problem: Op) -> Any:
        return self.outputs(problem)[problem.outputs[0]].value.astype(problem.dtype)

    def outputs(self, problem: Op) -> dict[str, Measured]:
        if isinstance(problem, Composition):  # every layer is off
            return super().outputs(problem)
        best, truths = super().outputs(problem), masked(problem).truths()
        bounds = masked(problem).judgements(Arithmetic.ieee(self.dtype))
        return {name: self.shifted(best[name], *truths[name], bounds[name], problem) for name in best}

    def shifted(self, best: Measured, hi: Array, lo: Array, bound: Bound, problem: Op) -> Measured:
        sign = np.random.default_rng(best.value.size).choice((-1.0, 1.0), best.shape)
        error = np.where(np.isfinite(bound.tolerance), bound.tolerance, 0.0)
        off = round_to(hi + sign * error, format_of(problem.dtype))
        legal = ~bound.forced & (np.abs((off - hi) - lo) <= bound.tolerance)
        return Measured(np.where(legal, off, best.value), best.tolerance)


def hold(op: type[Op], clause: Clause, run: Rounded, cases: int) -> int:
    """Try a law on drawn problems. Returns on how many it said anything."""
    said = 0
    for i in range(cases):
        pick = RandomPick(f"law {op.name} {i}", dtype_named(run.dtype), 4000)
        problem = op.draw(pick)
        with np.errstate(all="ignore"):
            sides = clause.enforce(problem, run, pick)
            if sides is not None:
                said += bool(np.prod(sides[0].shape, dtype=int))
                with suppress(Vacuous):
                    agree(problem, *sides)
    return said


@pytest.mark.parametrize(("op", "clause"), clauses("law"))
def test_laws_hold_for_the_reference_rounded_once(op: type[Op], clause: Clause) -> None:
    assert hold(op, clause, Rounded("float32"), 28) >= 5
    for dtype in ("float64", "float16", "bfloat16"):
        hold(op, clause, Rounded(dtype), 5)


@pytest.mark.parametrize(("op", "clause"), clauses("law"))
def test_laws_hold_for_answers_at_the_bound(op: type[Op], clause: Clause) -> None:
    """A law that fails here would accuse an implementation that keeps its bound."""
    for dtype in ("float32", "float64", "bfloat16"):
        hold(op, clause, Sloppy(dtype), 7)


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
