"""Foreign values as text that hides nothing."""

from __future__ import annotations

import math
import re
from typing import Any

from markupsafe import Markup


def anchor(kind: str, name: str) -> str:
    """An id that holds in an attribute and in a URL's fragment."""
    return f"{kind}-{slug(name)}"


def clause_anchor(name: str) -> str:
    """The id of a clause: its name, as in the pages of the specification, so that one fragment fits both.

    What is no name of a clause gets an id that no other part of the page has.
    """
    return name if re.fullmatch(r"\w+\.\w+", name, re.ASCII) else anchor("clause", name)


def variant(dtype: str, arithmetic: str) -> str:
    """What a verdict is of, beside its clause: the dtype, and the arithmetic where another than ieee is declared."""
    return ", ".join(filter(None, (dtype, arithmetic)))


def slug(name: str) -> str:
    """A name in the characters that hold in file names, attributes and fragments."""
    return re.sub(r"[^A-Za-z0-9_.+-]", lambda match: f"~{ord(match[0]):x}", name)


def value_text(value: Any) -> str:
    """A parameter as Python would write it, pairs in round brackets."""
    if isinstance(value, list):
        inner = ", ".join(value_text(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {value_text(item)}" for key, item in value.items()) + "}"
    return repr(value)


def ratio_text(ratio: float) -> str:
    """An error over its bound, for reading: 0.998, 0.0123, 1.2e-05, 12.3, 4,567. Only what is on the bound is 1."""
    if 0.999 <= ratio < 1:
        return f"{min(ratio, 0.9999):.4f}"
    if 1 < ratio < 1.001:
        return f"{max(ratio, 1.0001):.4f}"
    if 100 <= ratio < 1e4:
        return f"{ratio:,.0f}"
    return f"{ratio:.3g}" if ratio == 0 or 1e-3 <= ratio < 100 else f"{ratio:.1e}"


def seconds_text(seconds: float) -> str:
    """A duration for reading: 0.042 s, 12.3 s, 4 min 07 s, 2 h 05 min."""
    if not math.isfinite(seconds) or seconds < 0.1:
        return f"{seconds:.2g} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


# Control characters, and those that turn the direction of writing or take no space.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def visible(value: Any) -> Any:
    """Text in which nothing hides: characters that cannot be seen become their escapes."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), value)
    return value
