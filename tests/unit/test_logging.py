"""Where log lines go: never lost, never twice."""

from __future__ import annotations

import io
import itertools
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from durabletask._logging import GuardedLogger
from durabletask.client import TaskHubGrpcClient
from durabletask.internal.shared import get_logger
from durabletask.worker import TaskHubGrpcWorker

_NUMBERS = itertools.count()


@contextmanager
def unconfigured() -> Iterator[None]:
    """As in a program that has not set logging up: pytest's handlers are away, and those that other tests have left.

    A handler that is given to a worker stays with the logger that all workers of the process have.
    """
    loggers: list[logging.Logger] = [logging.root]
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("durabletask"):
            loggers.append(logging.getLogger(name))
    before = [(each, each.handlers[:], each.level, each.filters[:]) for each in loggers]
    disabled = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    for logger in loggers:
        logger.handlers.clear()
        logger.filters.clear()
        logger.setLevel(logging.WARNING if logger is logging.root else logging.NOTSET)
    try:
        yield
    finally:
        logging.disable(disabled)
        for logger, handlers, level, filters in before:
            logger.handlers[:] = handlers
            logger.filters[:] = filters
            logger.setLevel(level)


@pytest.fixture
def suffix() -> str:
    """What no other test calls its logger."""
    return f"test{next(_NUMBERS)}"


def to_text() -> tuple[logging.Handler, io.StringIO]:
    stream = io.StringIO()
    return logging.StreamHandler(stream), stream


@unconfigured()
def test_without_a_set_up_lines_go_to_what_standard_error_is_now(
    suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    get_logger(suffix).warning("here")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(f"durabletask.{suffix} WARNING: here"), lines


@unconfigured()
def test_what_is_set_up_later_has_the_lines_from_then_on(
    suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = get_logger(suffix)
    logger.warning("before")
    handler, text = to_text()
    logging.root.addHandler(handler)
    logger.warning("after")
    assert text.getvalue() == "after\n"
    logging.root.removeHandler(handler)
    logger.warning("again")
    texts = [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert texts == ["before", "again"]


@pytest.mark.parametrize("place", ["durabletask", "durabletask.{}", "durabletask-{}"])
@unconfigured()
def test_handlers_and_levels_count_at_every_level_and_under_the_old_name(
    place: str, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = get_logger(suffix)
    configured = logging.getLogger(place.format(suffix))
    handler, text = to_text()
    configured.addHandler(handler)
    configured.setLevel(logging.DEBUG)
    try:
        logger.debug("quiet")
        assert logger.isEnabledFor(logging.DEBUG)
    finally:
        configured.removeHandler(handler)
        configured.setLevel(logging.NOTSET)
    assert text.getvalue() == "quiet\n"
    assert capsys.readouterr().err == ""


@unconfigured()
def test_the_old_name_counts_whichever_logger_was_made_first(suffix: str) -> None:
    logging.getLogger(f"durabletask.{suffix}.part")
    old = logging.getLogger(f"durabletask-{suffix}")
    old.setLevel(logging.DEBUG)
    logger = get_logger(suffix)
    assert get_logger(suffix) is logger
    assert logger.getEffectiveLevel() == logging.DEBUG
    assert logging.getLogger(f"durabletask.{suffix}.part").getEffectiveLevel() == logging.DEBUG


@unconfigured()
def test_a_logger_that_does_not_hand_on_counts_only_what_it_has(
    suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handler, text = to_text()
    logging.root.addHandler(handler)
    logger = get_logger(suffix)
    logger.propagate = False
    logger.warning("kept to itself")
    assert text.getvalue() == ""
    assert "kept to itself" in capsys.readouterr().err


@unconfigured()
def test_a_given_handler_has_every_line_once_and_standard_error_none(
    suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    handler, text = to_text()
    logger = get_logger(suffix, handler)
    assert get_logger(suffix, handler) is logger
    get_logger(suffix)
    logger.warning("once")
    assert text.getvalue().count("once") == 1
    assert capsys.readouterr().err == ""


@unconfigured()
def test_a_given_handler_that_is_set_up_already_has_every_line_once(suffix: str) -> None:
    handler, text = to_text()
    logging.root.addHandler(handler)
    get_logger(suffix, handler).warning("once")
    assert text.getvalue().count("once") == 1


@unconfigured()
def test_a_handler_keeps_its_formatter_unless_another_is_given(suffix: str) -> None:
    handler, formatter = logging.NullHandler(), logging.Formatter("%(message)s")
    handler.setFormatter(formatter)
    get_logger(suffix, handler)
    assert handler.formatter is formatter
    other = logging.Formatter("- %(message)s")
    get_logger(suffix, handler, other)
    assert handler.formatter is other


@unconfigured()
def test_a_formatter_alone_is_for_standard_error(
    suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    get_logger(suffix, None, logging.Formatter("- %(message)s")).warning("here")
    assert capsys.readouterr().err == "- here\n"


def test_handlers_that_others_have_left_do_not_count_here() -> None:
    handler, text = to_text()
    logger = TaskHubGrpcWorker(log_handler=handler)._logger._inner
    try:
        logger.setLevel(logging.ERROR)
        with unconfigured():
            logger.warning("unseen")
            assert logger.isEnabledFor(logging.WARNING)
        assert (handler in logger.handlers, logger.level) == (True, logging.ERROR)
        assert text.getvalue() == ""
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


@unconfigured()
def test_workers_and_clients_say_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    loggers = {
        each._logger.name
        for each in (
            TaskHubGrpcWorker(),
            TaskHubGrpcWorker(),
            TaskHubGrpcClient(),
            TaskHubGrpcClient(),
        )
    }
    assert loggers == {"durabletask.worker", "durabletask.client"}
    for name in loggers:
        logging.getLogger(name).warning("once")
    assert capsys.readouterr().err.count("once") == 2
    logging.basicConfig()
    for name in loggers:
        logging.getLogger(name).warning("once")
    # Workers of other tests may still be on their way out.
    lines = [line for line in capsys.readouterr().err.splitlines() if "once" in line]
    assert sorted(lines) == ["WARNING:durabletask.client:once", "WARNING:durabletask.worker:once"]


class _Fields(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@unconfigured()
def test_a_record_factory_of_the_program_keeps_its_own_fields(suffix: str) -> None:
    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        if record.name.endswith(suffix):
            record.instance_id = "the program's"
        return record

    handler = _Fields()
    logger = GuardedLogger(get_logger(suffix, handler))
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(factory)
    try:
        logger.warning("here", extra={"instance_id": "ours", "task_id": 7})
    finally:
        logging.setLogRecordFactory(before)
    (record,) = handler.records
    assert (record.__dict__["instance_id"], record.__dict__["task_id"]) == ("the program's", 7)


@unconfigured()
def test_calls_of_a_client_do_not_fail_for_a_line_about_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("the disk of logs is full")

    client = TaskHubGrpcClient(host_address="127.0.0.1:1", log_handler=Broken())
    logging.getLogger("durabletask.client").setLevel(logging.INFO)
    with pytest.raises(grpc.RpcError):
        client.terminate_orchestration("nobody")
    client.close()
    assert "the disk of logs is full" in capsys.readouterr().err


def test_importing_makes_no_logger_that_a_configuration_would_switch_off() -> None:
    program = (
        "import logging, durabletask.worker, durabletask.client, durabletask.aio.client\n"
        "print([name for name in logging.root.manager.loggerDict if name.startswith('durabletask')])"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout == "[]\n"
