"""What holds for stacks of layers: receptive fields measured from outside, shifts, factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .field import field, reach
from .laws import cropped, enlarged
from .measured import Measured
from .op import STRICT, Run, Sides, edge, law
from .pick import Pick

if TYPE_CHECKING:
    from .stack import Stack

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
NONE = ((0, 0), (0, 0))
POOLS = ("max_pool2d", "avg_pool2d")

# Stacks that are made larger for a law keep the product of their strides within this.
FARTHEST = 4


def alike(run: Run, problem: Any, other: Measured) -> Measured:
    """The answer, which is made of the same terms as `other` and so may be as far off."""
    return other.like(run.values(problem))


def measured(stack: Stack, run: Run, axis: int) -> Mask:
    """(outputs, length): on which rows (axis 0) or columns (1) each output row or column is seen to depend.

    One image per row, ones on that row and zeros elsewhere; filters of ones and twos, no bias. No term is negative, so
    that an output which is not zero depends on the row, and one that depends on it is not zero.
    """
    length, channels = stack.x.shape[2 + axis], stack.x.shape[1]
    lines = np.eye(length).reshape(length, 1, *((length, 1) if axis == 0 else (1, length)))
    x = np.broadcast_to(lines, (length, channels, *stack.x.shape[2:])).astype(stack.dtype)
    filters = {k: (np.arange(w.size) % 2 + 1.0).reshape(w.shape).astype(w.dtype) for k, w in stack.filters().items()}
    y = run.values(stack.without_bias().but(x=np.array(x, order="C"), **filters))
    return np.asarray((y != 0).any(axis=(1, 3 - axis)).T)


def expected(stack: Stack, axis: int) -> Mask:
    """(outputs, length): the exact set; empty, where no window of the other axis holds any input."""
    layers, lengths = stack.windows(), stack.x.shape[2:]
    return reach(lengths[axis], layers[axis]) & bool(reach(lengths[1 - axis], layers[1 - axis]).any())


@law("RF-01, RF-06, LAW-A10, L041")
def the_field_is_the_exact_set(problem: Stack, run: Run, pick: Pick) -> Sides | None:
    """With positive filters, an output depends on exactly those pixels that lie under the taps of its window, and on
    what those depend on, layer by layer."""
    axis = pick.integer(0, 1)
    return measured(problem, run, axis), expected(problem, axis)


@law("RF-02, RF-03, RF-04, L042, L043")
def the_field_spans_its_hull(problem: Stack, run: Run, pick: Pick) -> Sides | None:
    """Without padding, the first and the last pixel that an output depends on are those of the recursion: each layer
    adds its span less one, times the product of the strides before it. Its centre is half way between them."""
    axis = pick.integer(0, 1)
    plain = _unpadded(problem)
    hull, seen = field(plain.windows()[axis]), measured(plain, run, axis)
    length = plain.x.shape[2 + axis]
    if not seen.any(axis=1).all():
        return np.asarray(seen.any(axis=1)), np.ones(len(seen))
    ends = np.stack([seen.argmax(axis=1), length - 1 - seen[:, ::-1].argmax(axis=1)], axis=1)
    return ends, np.array([hull.ends(output, length) for output in range(len(seen))], np.float64)


@law("RF-05, L039, L103, E13")
def a_stride_enlarges_no_field_of_its_own_layer(problem: Stack, run: Run, pick: Pick) -> Sides | None:
    """With the last window's stride taken away, output i*stride has the field that output i had."""
    axis = pick.integer(0, 1)
    layers = problem.windows()[axis]
    if not layers:
        return None
    last = max(k for k, entry in enumerate(problem.plan) if "stride" in entry)
    down, across = problem.plan[last]["stride"]
    slowed = {**problem.plan[last], "stride": (1, across) if axis == 0 else (down, 1)}
    slow = tuple(slowed if k == last else entry for k, entry in enumerate(problem.plan))
    return measured(problem, run, axis), measured(problem.but(plan=slow), run, axis)[:: layers[-1].stride]


@law("RF-07")
def rectifying_changes_no_field(problem: Stack, run: Run, pick: Pick) -> Sides | None:
    """A rectifier after every layer leaves the fields as they are."""
    axis = pick.integer(0, 1)
    bare = problem.but(plan=tuple(entry for entry in problem.plan if entry["op"] != "relu"))
    if not bare.plan:
        return None
    rectified = bare.but(plan=tuple(e for entry in bare.plan for e in (entry, {"op": "relu"})))
    return measured(rectified, run, axis), measured(bare, run, axis)


def _slowed(problem: Stack) -> Stack:
    """The stack with the strides of its later layers at 1 once their product would be more than FARTHEST."""
    jump, plan = [1, 1], []
    for entry in problem.plan:
        if "stride" in entry:
            stride = [s if j * s <= FARTHEST else 1 for s, j in zip(entry["stride"], jump, strict=True)]
            jump = [j * s for j, s in zip(jump, stride, strict=True)]
            entry = {**entry, "stride": tuple(stride)}
        plan.append(entry)
    return problem.but(plan=tuple(plan))


def _unpadded(problem: Stack) -> Stack:
    """Without padding, on an image a little larger than one field."""
    plain = _slowed(problem).replanned(**{op: {"padding": NONE} for op in ("conv2d", *POOLS)})
    sides = []
    for layers in _shapeless(plain):
        hull = field(layers)
        sides.append(hull.size + 2 * hull.jump)
    return plain.but(x=enlarged(problem.x, *sides))


def _shapeless(problem: Stack) -> tuple[Any, Any]:
    """The windows of a stack whose image may be too small for it."""
    far = problem.but(x=enlarged(problem.x, 70, 70)[:1])
    return far.windows()


def _on_the_torus(problem: Stack) -> Stack:
    """Circular padding of span - 1, poolings side by side, an image whose sides the product of the strides divides."""
    slow = _slowed(problem)
    plan, longest = [], 3
    for entry, layer in zip(slow.plan, slow.layers(), strict=True):
        if entry["op"] == "conv2d":
            spans = [w.span for w in layer.axes]  # type: ignore[attr-defined]
            longest = max(longest, *spans)
            before = [min(w.before, w.span - 1) for w in layer.axes]  # type: ignore[attr-defined]
            sides = tuple((b, span - 1 - b) for b, span in zip(before, spans, strict=True))
            entry = {**entry, "padding": sides, "padding_mode": "circular"}
        elif entry["op"] in POOLS:
            entry = {**entry, "kernel_size": entry["stride"], "padding": NONE}
        plan.append(entry)
    jump = [1, 1]
    for entry in plan:
        jump = [j * s for j, s in zip(jump, entry.get("stride", (1, 1)), strict=True)]
    height, width = (j * longest for j in jump)
    return slow.but(plan=tuple(plan), x=cropped(enlarged(problem.x, height, width), height, width))


def _rolled(around: Stack, pick: Pick) -> tuple[Stack, tuple[int, int]]:
    """The image rolled by a multiple of the product of the strides, and by how many outputs that is."""
    steps = pick.integer(1, 2), pick.integer(-1, 1)
    jump = around.jump
    return around.but(x=np.roll(around.x, (steps[0] * jump[0], steps[1] * jump[1]), (2, 3))), steps


@law("EQV-07, EQV-05, LAW-C29, L077")
def shifts_on_the_torus(problem: Stack, run: Run, pick: Pick) -> Sides | None:
    """With circular padding, poolings side by side and sizes that the strides divide, rolling the image by the product
    of the strides rolls the output by one."""
    around = _on_the_torus(problem)
    there, steps = _rolled(around, pick)
    here = run(around).rearranged(lambda y: np.roll(y, steps, (2, 3)))
    return alike(run, there, here), here


@law("EQV-02, LAW-C29")
def shifts_by_cropping(problem: Stack, run: Run, pick: Pick) -> Sides | None:
    """Without padding, cutting a times the product of the strides off the image cuts a rows off the output; so for
    columns."""
    plain = _unpadded(problem)
    a, b = pick.integer(0, 2), pick.integer(0, 2)
    rows, columns = plain.jump
    cut = np.array(plain.x[:, :, a * rows :, b * columns :], order="C")
    whole = run(plain)[:, :, a:, b:]
    return alike(run, plain.but(x=cut), whole), whole


def _pooled(around: Stack, op: str) -> Stack:
    """With one pooling over the whole of what comes out."""
    size = around.shape()[2:]
    return around.but(plan=(*around.plan, {"op": op, "kernel_size": size, "stride": (1, 1)}))


@law("EQV-08, L074, L078")
def a_global_maximum_is_invariant(problem: Stack, run: Run, pick: Pick) -> Sides | None:
    """After such a stack, the maximum over the whole image does not see a roll by the product of the strides."""
    around = _on_the_torus(problem)
    there, _ = _rolled(around, pick)
    here = run(_pooled(around, "max_pool2d"))
    return alike(run, _pooled(there, "max_pool2d"), here), here


@law("EQV-08")
def a_global_average_is_invariant(problem: Stack, run: Run, pick: Pick) -> Sides | None:
    """After such a stack, the average over the whole image does not see a roll either, but for the order of adding."""
    around = _on_the_torus(problem)
    there, _ = _rolled(around, pick)
    here = run(_pooled(around, "avg_pool2d"))
    return alike(run, _pooled(there, "avg_pool2d"), here), here


@law("LAW-A8")
def whole_factors_move_out(problem: Stack, run: Run, pick: Pick) -> Sides | None:
    """Without biases, the image times 3 gives the answer times 3: exactly, where the sums are exact."""
    plain = problem.without_bias()
    tripled = (np.asarray(problem.x, np.float64) * 3).astype(problem.dtype)
    if not np.array_equal(tripled, np.asarray(problem.x, np.float64) * 3):
        return None
    return run(plain.but(x=tripled)), run(plain) * 3.0


@law("LAW-A8", STRICT)
def powers_of_two_move_out(problem: Stack, run: Run, pick: Pick) -> Sides | None:
    """Without biases, the image times 2 gives the answer times 2 to the last bit, whatever was rounded on the way."""
    if str(problem.dtype) == "float16" or run.convention("repeatable") == "false":
        return None  # results below float16's smallest normal number are not rounded alike at another scale
    plain = problem.without_bias()
    return run.values(plain.but(x=plain.x * np.asarray(2, plain.dtype))), 2 * run.values(plain)


@edge("GEN-14")
def an_empty_batch(cls: Any, pick: Pick) -> Stack:
    """No images give no images, through every layer."""
    problem: Stack = cls.draw(pick)
    return problem.but(x=problem.x[:0])
