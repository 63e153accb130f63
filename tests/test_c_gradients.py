"""The bundled kernel with one line changed in each gradient: what a slip in C looks like, and which clauses see it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import pytest

from convspec.adapters import Backend, c, c_compile
from convspec.conformance.checks import clauses_of
from convspec.conformance.engine import Engine, operation_named
from convspec.conformance.settings import PROFILES, Settings


@dataclass(frozen=True)
class Slip:
    """A line of the kernel, what it was changed into, and the clauses that see it by operation."""

    text: str
    file: str
    line: str
    instead: str
    seen: dict[str, str]


# Slips of one build touch different functions, so that each operation has one of them.
BUILDS = {
    "overlap": (
        Slip(
            "where windows overlap, the last one wins",
            "backward.c",
            "grad_x[at] += g * weight[tap];",
            "grad_x[at] = g * weight[tap];",
            {"conv2d_backward": "exact_on_integers the_gradient_is_the_adjoint"},
        ),
        Slip(
            "only the last image teaches the weights",
            "backward.c",
            "grad_weight[o * F + f] += g * x[n * F + f];",
            "grad_weight[o * F + f] = g * x[n * F + f];",
            {"linear_backward": "exact_on_integers"},
        ),
        Slip(
            "where windows overlap, the last one wins",
            "backward.c",
            "grad_x[nc * f->h * f->w + best] +=",
            "grad_x[nc * f->h * f->w + best] =",
            {"max_pool2d_backward": "exact_on_integers"},
        ),
        Slip(
            "padding always counts",
            "backward.c",
            "(REAL)NAME(divisor)(f, top, left)",
            "(REAL)(f->kernel_size[0] * f->kernel_size[1])",
            {"avg_pool2d_backward": "within_the_bound"},
        ),
        Slip(
            "the gradient passes at zero",
            "backward.c",
            "x[e] > 0 ? grad_output[e] : 0",
            "x[e] >= 0 ? grad_output[e] : 0",
            {"relu_backward": "closed_at_zero exact_on_integers"},
        ),
        Slip(
            "the mean along the set is divided by one less",
            "backward_norm.c",
            "along /= count;",
            "along /= count > 1 ? count - 1 : 1;",
            dict.fromkeys(("batch_norm2d_backward", "layer_norm_backward", "group_norm_backward"), "within_the_bound"),
        ),
    ),
    "order": (
        Slip(
            "filters are dealt out to the groups in turn",
            "backward.c",
            "(n * f->groups + k / K) * C",
            "(n * f->groups + k % f->groups) * C",
            {"conv2d_backward": "exact_on_integers"},
        ),
        Slip(
            "the smallest tap takes the gradient",
            "backward.c",
            "channel[at] > channel[best]",
            "channel[at] < channel[best]",
            {"max_pool2d_backward": "exact_on_integers"},
        ),
        Slip(
            "the gradient of the bias is that of the last image",
            "backward.c",
            "grad_bias[o] += g;",
            "grad_bias[o] = g;",
            {"linear_backward": "exact_on_integers"},
        ),
        Slip(
            "a share is not divided",
            "backward.c",
            "grad_x[(nc * f->h + top + a) * f->w + left + b] += share;",
            "grad_x[(nc * f->h + top + a) * f->w + left + b] += a == 0 && b == 0 ? share : 0;",
            {"avg_pool2d_backward": "within_the_bound"},
        ),
        Slip(
            "eps is added outside of the root",
            "backward_norm.c",
            "sqrt(running_var[c] + f->eps)",
            "(sqrt(running_var[c]) + f->eps)",
            {"batch_norm2d_backward": "within_the_bound"},
        ),
        Slip(
            "the weights of all groups are those of the first",
            "backward_norm.c",
            "to.weight == NULL ? NULL : to.weight + first,",
            "to.weight,",
            {"group_norm_backward": "within_the_bound"},
        ),
    ),
}

CASES = [(build, slip, op) for build, slips in BUILDS.items() for slip in slips for op in slip.seen]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, c.CLibrary]:
    """The kernels by the name of their build."""
    libraries = {}
    for build, slips in BUILDS.items():
        folder = tmp_path_factory.mktemp(build)
        for file in c_compile.KERNEL.glob("*.[ch]"):
            shutil.copy(file, folder)
        for slip in slips:
            file = folder / slip.file
            source = file.read_text()
            assert source.count(slip.line) == 1, slip.line
            file.write_text(source.replace(slip.line, slip.instead))
        sources = [folder / name for name in ("shape.c", "kernel_f32.c", "kernel_f64.c")]
        libraries[build] = c.CLibrary(c.compiled(build, c.compiler(), sources, sorted(folder.glob("*.[ch]"))))
    return libraries


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Settings(profile=PROFILES["smoke"], examples=30, shrink_calls=1))


@pytest.mark.parametrize(("build", "slip", "op"), CASES, ids=[f"{build}-{op}" for build, _, op in CASES])
def test_a_slip_is_seen(build: str, slip: Slip, op: str, built: dict[str, c.CLibrary], engine: Engine) -> None:
    backend = Backend.of(build, built[build], "test")
    clauses = {clause.name.partition(".")[2]: clause for clause in clauses_of(operation_named(op))}
    tried = {name: engine.run(clauses[name], backend, "float32").cell.status for name in slip.seen[op].split()}
    assert tried == dict.fromkeys(slip.seen[op].split(), "fail"), slip.text


def test_every_gradient_has_a_slip() -> None:
    assert {op for _, _, op in CASES} == {name for name in c.CKernel.__annotations__ if name.endswith("_backward")}
