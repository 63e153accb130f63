"""The lecture that the specification follows, and what clauses name as their source.

An item of the lecture (L001...) and a reading of one of its errors (E01...) name labels; a label (CONV-08, LAW-C5...)
stands for something demanded of an operation; a clause names the labels, items and readings that it answers.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from .op import Clause


@dataclass(frozen=True)
class Label:
    """says: the demand. by: clauses that answer it without naming it. sums: equations that do. why: why none does."""

    says: str
    by: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Item:
    """says: a statement of the lecture. operations: those that it is about, where its labels are about more.
    why: what of it no test can hold anyone to."""

    says: str
    labels: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Reading:
    """problem: an error or an open choice of the lecture. reading: what it is taken to mean here."""

    where: tuple[str, ...]
    problem: str
    reading: str
    labels: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()


@cache
def labels() -> dict[str, Label]:
    return {name: Label(**_frozen(entry)) for name, entry in _table("labels").items()}


@cache
def items() -> dict[str, Item]:
    return {name: Item(**_frozen(entry)) for name, entry in _table("lecture")["items"].items()}


@cache
def readings() -> dict[str, Reading]:
    return {name: Reading(**_frozen(entry)) for name, entry in _table("lecture")["errors"].items()}


def title() -> str:
    return str(_table("lecture")["title"])


def sources(clause: Clause) -> tuple[str, ...]:
    """What a clause names as its source, with ranges written out: "L024-L026, CONV-21"."""
    names: list[str] = []
    for part in filter(None, re.split(r",\s*", clause.source)):
        ends = re.fullmatch(r"([A-Z])(\d+)-\1(\d+)", part)
        if ends:
            letter, first, last = ends.groups()
            names += [f"{letter}{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
        else:
            names.append(part)
    return tuple(names)


def _frozen(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


@cache
def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath(f"{name}.toml").read_text("utf-8"))
