"""The reproducer scripts: a failing call shown with NumPy and the backend alone, or a case of a law tried again."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend
from convspec.reference import Op
from convspec.reports.record import Failure

from .compare import Evidence
from .trial import Trial

Tensor = npt.NDArray[Any]

LITERAL = 400  # elements; larger arrays go into a script as base64


def code(problem: Op) -> str:
    """The problem as Python that can be pasted after `import numpy as np` and the import of the operation."""
    fields = [f"{name}={literal(array)}" for name, array in problem.arrays().items()]
    fields += [f"{name}={value!r}" for name, value in problem.parameters().items()]
    return f"{type(problem).__name__}({', '.join(fields)})"


def literal(array: Tensor) -> str:
    """An array as Python, exact to the bit."""
    dtype = {"bfloat16": "ml_dtypes.bfloat16", "bool": "bool"}.get(str(array.dtype), f"np.{array.dtype}")
    if array.size > LITERAL:
        packed = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        return f'np.frombuffer(base64.b64decode("{packed}"), {dtype}).reshape({array.shape}).copy()'
    if array.dtype.kind in "bc":
        values = array.reshape(-1).tolist()
        return f"np.array({values!r}, {dtype}).reshape({array.shape})"
    whole = [_number(float(v)) for v in np.asarray(array, np.float64).reshape(-1)]
    return f"np.array([{', '.join(whole)}], {dtype}).reshape({array.shape})"


def placed(array: Tensor) -> str:
    """An array as Python that lies in memory as this one does, where that is not as NumPy would lay it out."""
    base = array.base if isinstance(array.base, np.ndarray) else array
    offset = array.ctypes.data - base.ctypes.data if all(step >= 0 for step in array.strides) else 0
    # Not `flags.c_contiguous`: libraries look at the steps of axes of one element too.
    usual = np.empty(array.shape, array.dtype).strides
    if not array.size or (array.strides == usual and offset <= 0):
        return literal(array)
    return f"laid_out({literal(array)}, {array.strides}, {max(offset, 0)})"


def _number(value: float) -> str:
    if np.isnan(value):
        return "np.nan"
    if np.isinf(value):
        return "np.inf" if value > 0 else "-np.inf"
    return (
        repr(int(value))
        if value == int(value) and abs(value) < 2**53 and not (value == 0 and np.signbit(value))
        else repr(value)
    )


_HEAD = '''"""{clause} does not hold for {backend} ({dtype}).

{text}

Seen: {message}
Case: {summary}
{declared}
Exits with 1 while this is so, with 0 when it is right, with 2 when the backend cannot be loaded.
"""
'''

_LOAD_FILE = """
    spec = importlib.util.spec_from_file_location("backend", {path!r})
    module = importlib.util.module_from_spec(spec)
    sys.modules["backend"] = module
    sys.path.insert(0, os.path.dirname({path!r}))
    spec.loader.exec_module(module)
    backend = module.{attribute}
    backend = backend() if isinstance(backend, type) else backend"""

_LOAD_NAME = """
    from convspec.adapters import load

    backend = load({key!r}).subject"""

_SCRIPT = """
import base64
import importlib.util
import os
import sys
from types import SimpleNamespace

import numpy as np
{imports}

try:{load}
except Exception as error:
    print(f"cannot load the backend: {{type(error).__name__}}: {{error}}")
    sys.exit(2)

try:  # the operation's own class where convspec is installed, else its fields alone
    from convspec.reference import {operation}
except ImportError:
    def {operation}(**fields):
        return SimpleNamespace(**{absent} | fields, shape=lambda: {shape})

{helper}
problem = {operation}(
{fields}
)
"""

_LAID_OUT = """
def laid_out(values, strides, offset):
    '''The values with these strides in memory, in bytes, as the failing call had them.'''
    ends = [step * (n - 1) for step, n in zip(strides, values.shape)]
    low, high = sum(min(0, end) for end in ends), sum(max(0, end) for end in ends)
    buffer = np.zeros(offset + high - low + values.itemsize, np.uint8)
    view = np.ndarray(values.shape, values.dtype, buffer, offset - low, strides)
    view[...] = values
    view.flags.writeable = 0 not in strides
    return view

"""

_COMPARE = """
expected = {expected}
bound = {bound}

try:
    actual = backend.{method}(problem){take}
    actual = backend.to_numpy(actual) if hasattr(backend, "to_numpy") else actual
except Exception as error:
    print(f"raised {{type(error).__name__}}: {{error}}")
    sys.exit(1)

if not isinstance(actual, np.ndarray):
    print(f"returned {{type(actual).__name__}}, not a NumPy array")
    sys.exit(1)
if actual.shape != expected.shape or actual.dtype != problem.x.dtype:
    print(f"got      shape {{actual.shape}} {{actual.dtype}}\\nexpected shape {{expected.shape}} {{problem.x.dtype}}")
    sys.exit(1)
with np.errstate(all="ignore"):
    error = np.abs(actual.astype(np.float64) - expected)
    same = (np.isnan(actual.astype(np.float64)) & np.isnan(expected)) | (actual.astype(np.float64) == expected)
ok = same | (error <= bound)
print("got     ", actual.tolist())
print("expected", expected.tolist())
print(f"{{np.size(ok) - np.count_nonzero(ok)}} of {{np.size(ok)}} elements are off by more than the bound")
sys.exit(0 if ok.all() else 1)
"""

_REFUSE = """
try:
    actual = backend.{method}(problem)
except Exception as error:
    print(f"refused, as it must be: {{type(error).__name__}}: {{error}}")
    sys.exit(0)
print("accepted an invalid problem; it returned", getattr(actual, "shape", actual))
sys.exit(1)
"""

_REPLAY = """
import sys

try:
    from convspec.adapters import load
    from convspec.conformance.replay import replay

    backend = load({key!r})
except Exception as error:
    print(f"cannot load the backend: {{error}}")
    sys.exit(2)

sys.exit(replay({clause!r}, backend, {dtype!r}, {choices!r}, {budget!r}))
"""


def _head(trial: Trial, failure: Failure) -> str:
    parts = {
        "clause": failure.clause,
        "backend": failure.backend,
        "dtype": failure.dtype,
        "text": trial.clause.text,
        "message": failure.message,
        "summary": failure.summary,
        "declared": f"Arithmetic declared: {failure.arithmetic}\n" if failure.arithmetic else "",
    }
    safe = {k: str(v).replace("\\", "\\\\").replace('"""', "'''") for k, v in parts.items()}
    return _HEAD.format(**safe)


def standalone(trial: Trial, failure: Failure, shown: Evidence) -> str:
    """A script that makes the call with NumPy and the backend alone, and compares the answer."""
    problem, backend = shown.problem, trial.backend
    arrays = {name: placed(array) for name, array in problem.arrays().items()}
    views = any(text.startswith("laid_out") for text in arrays.values())
    fields = [f"    {name}={text}," for name, text in arrays.items()]
    fields += [f"    {name}={value!r}," for name, value in problem.parameters().items()]
    if backend.source is not None and backend.kind == "file":
        attribute = backend.subject_name
        load = _LOAD_FILE.format(path=str(backend.source.resolve()), attribute=attribute)
    else:
        load = _LOAD_NAME.format(key=_resolved(backend))
    bfloat = any(str(a.dtype) == "bfloat16" for a in problem.arrays().values())
    text = _head(trial, failure) + _SCRIPT.format(
        imports="import ml_dtypes" if bfloat else "",
        load=load,
        operation=type(problem).__name__,
        shape=None if shown.expected is None else shown.expected.shape,
        absent=dict.fromkeys(name for name in sorted(problem._tensors) if name not in arrays),
        helper=_LAID_OUT if views else "",
        fields="\n".join(fields),
    )
    if trial.clause.kind == "rule":
        return text + _REFUSE.format(method=problem.name)
    bound = shown.bound
    if bound is None:
        bound = problem.judgements(backend.arithmetic_of(problem))[shown.output].tolerance
    assert shown.expected is not None
    return text + _COMPARE.format(
        method=problem.name,
        take=f"[{problem.outputs.index(shown.output)}]  # {shown.output}" if len(problem.outputs) > 1 else "",
        expected=literal(np.asarray(shown.expected, np.float64)),
        bound=literal(np.asarray(bound, np.float64)),
    )


# A call that kills or hangs the process is made in another one; the status by which that says that all is well is none
# by which a kernel would end it.
RIGHT = 57

_GUARDED = """
import subprocess
import sys

if "--here" not in sys.argv:  # the call may end the process: make it in another one, which needs a while to start
    try:
        code = subprocess.run([sys.executable, __file__, "--here"], timeout={seconds:g} + 10).returncode
    except subprocess.TimeoutExpired:
        print("no answer within {seconds:g} s")
        sys.exit(1)
    if code not in (1, 2, {right}):
        print(f"the process was killed by signal {{-code}}" if code < 0 else f"the process exited with code {{code}}")
    sys.exit({{2: 2, {right}: 0}}.get(code, 1))
"""


def guarded(script: str, seconds: float) -> str:
    """A script whose call may end its process: it makes the call in another one."""
    head, _, body = script.partition('\n"""\n')
    body = body.replace("sys.exit(0 if ok.all() else 1)", f"sys.exit({RIGHT} if ok.all() else 1)")
    body = body.replace("    sys.exit(0)\n", f"    sys.exit({RIGHT})\n")
    body = body.replace("\nsys.exit(replay(", f"\nsys.exit({RIGHT} - {RIGHT - 1} * replay(")
    return f'{head}\n"""\n{_GUARDED.format(seconds=seconds, right=RIGHT)}{body}'


def replayed(trial: Trial, failure: Failure, choices: list[int], budget: int) -> str:
    """A script that tries the clause again on the case that these choices make."""
    return _head(trial, failure) + _REPLAY.format(
        key=_resolved(trial.backend),
        clause=trial.clause.name,
        dtype=failure.dtype,
        choices=choices,
        budget=budget,
    )


def _resolved(backend: Backend) -> str:
    """What `load` takes from any folder: a file by its whole path."""
    if backend.source is None:
        return str(backend.key)
    tail = backend.key.rpartition(":")[2] if ".py:" in backend.key else ""
    return str(backend.source.resolve()) + (f":{tail}" if tail else "")
