"""The pytest side of the suite: options, items, the record, the terminal."""

from __future__ import annotations

import os
import traceback
from typing import Any

import pytest

from convspec.adapters import CannotLoad
from convspec.reports.record import Cell
from convspec.reports.status import FAILING

from .options import Options, add_options, read_options
from .session import Item, Session
from .terminal import header, summarise

SESSION = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        # Libraries that start a thread per core in each of several workers get in each other's way.
        share = max(1, (os.cpu_count() or 1) // config.workerinput.get("workercount", 1))
        os.environ.setdefault("OMP_NUM_THREADS", str(share))
    try:
        options: Options = read_options(config)
        session = Session(options, getattr(config, "workerinput", {}).get("workerid", ""))
    except (CannotLoad, ValueError) as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[SESSION] = session
    # Our own summary tells a failure by its smallest case; pytest's sections would repeat each of them.
    if config.option.tbstyle == "auto":
        config.option.tbstyle = "no"
    if config.option.reportchars == "fE":
        config.option.reportchars = ""
    if hasattr(config, "workerinput"):
        session.attach(config.workerinput["convspec_run"])


def pytest_report_header(config: pytest.Config) -> list[str]:
    return header(config.stash[SESSION])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "convspec_item" not in metafunc.fixturenames:
        return
    parameters = [pytest.param(item, id=item.id) for item in metafunc.config.stash[SESSION].items()]
    metafunc.parametrize("convspec_item", parameters)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where nothing is selected, pytest leaves one placeholder: take it out, so that the exit code is 5."""
    empty = [i for i in items if "convspec_item" in getattr(i, "fixturenames", ()) and not _item(i)]
    if empty:
        items[:] = [i for i in items if i not in empty]
        config.hook.pytest_deselected(items=empty)


def _item(node: pytest.Item) -> Item | None:
    item = getattr(node, "callspec", None) and node.callspec.params.get("convspec_item")  # type: ignore[attr-defined]
    return item if isinstance(item, Item) else None


def pytest_collection_finish(session: pytest.Session) -> None:
    ours = session.config.stash[SESSION]
    ours.plan(sum(_item(i) is not None for i in session.items))
    if not session.config.option.collectonly and not ours.is_worker and ours.planned:
        ours.create()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """With xdist: the controlling process makes the run folder, each worker writes into it."""
    session = node.config.stash[SESSION]
    session.create()
    node.workerinput["convspec_run"] = str(session.folder.path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With xdist: an operation goes to one worker, whole and in order, so that several say what one says. For what
    failed and hung of it before decides how long an answer is waited for and what a failure is shrunk from, and its
    problems are drawn once. Where another distribution is asked for, it is left to xdist."""
    if config.option.dist != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByOperation(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            # Of `test_clauses.py::test_clause[conv2d.size_follows_the_formula-float32-cuda[tf32]]`, `conv2d`.
            return nodeid.partition("::")[2].partition("[")[2].partition(".")[0]

    return ByOperation(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    node.config.stash[SESSION].plan(len(ids))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    output = getattr(node, "workeroutput", {})
    node.config.stash[SESSION].add_worker(output.get("convspec_measured", {}))


def run_item(item: Item, config: pytest.Config) -> None:
    """Try one cell and write it down; the pytest outcome follows the status."""
    session = config.stash[SESSION]
    try:
        cell = session.run(item)
    except Exception:
        session.write(item.error(traceback.format_exc()))
        raise
    if cell.status in FAILING:
        pytest.fail(f"{cell.clause} [{cell.dtype}, {cell.backend}]: {cell.reason}", pytrace=False)
    if cell.status in ("unsupported", "not run"):
        pytest.skip(f"{cell.status}: {cell.reason}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    ours = session.config.stash.get(SESSION, None)
    if ours is None or not ours.started:
        return
    if ours.is_worker:
        output: dict[str, Any] = session.config.workeroutput  # type: ignore[attr-defined]
        output["convspec_measured"] = ours.measured()
        ours.close()
        return
    cells: list[Cell] = ours.finish(interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
    if any(made.falls_short for made in ours.grades) and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    statuses = {c.status for c in cells}
    if not ours.exercised and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED  # 5: a verdict on nothing is none
    if "error" in statuses and not statuses & (FAILING - {"error"}) and exitstatus == pytest.ExitCode.TESTS_FAILED:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR  # 3: the suite's own fault


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    session = config.stash.get(SESSION, None)
    if session is None:
        return
    if session.started and not session.is_worker and not session.exercised:
        terminalreporter.write_line("nothing was exercised: every case lies outside what the backend says it supports")
    elif exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        terminalreporter.write_line(f"nothing selected: {session.options.selection()}")
    if session.started and not session.is_worker:
        summarise(session, terminalreporter)


def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash.get(SESSION, None)
    if session is not None:
        session.close_backends()
