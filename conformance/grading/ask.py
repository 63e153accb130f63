"""Asking a backend for what it makes of a problem, whatever it does instead."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convspec.adapters import Backend, Lost, NoDomain, Unsupported
from convspec.conformance.case import called
from convspec.conformance.compare import Violation, formed
from convspec.reference import Op

Array = npt.NDArray[np.float64]


class Silent(Exception):
    """There is no answer; the message says why in a few words. `refused`: the backend said that it is none of its."""

    def __init__(self, why: str, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


def ask(backend: Backend, problem: Op) -> dict[str, Array]:
    """The outputs by name, in float64. Raises Silent where there is none, or none of the right form."""
    try:
        if not backend.supports(problem):
            raise Unsupported("outside its stated domain")
        with np.errstate(all="ignore"):
            answers = formed(problem, called(backend, problem))
    except Unsupported as refusal:
        raise Silent(str(refusal) or "unsupported", refused=True) from refusal
    except Violation as violation:
        raise Silent(violation.message) from violation
    except (Lost, NoDomain) as error:
        raise Silent(str(error)) from error
    except (Exception, SystemExit) as error:
        text = (str(error).strip().splitlines() or [""])[0][:200]
        raise Silent(f"raised {type(error).__name__}: {text}") from error
    return {name: np.array(answer, np.float64) for name, answer in answers.items()}
