"""The logger that is silent while an orchestrator is replayed."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from durabletask.replay import Replayer

from support.history import History


def test_a_replay_safe_logger_is_silent_while_replaying(caplog: pytest.LogCaptureFixture) -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        logger = ctx.create_replay_safe_logger(logging.getLogger("orders"))
        logger.info("reserving %s", "a piano", extra={"order": 7})
        assert logger.isEnabledFor(logging.INFO) is not ctx.is_replaying
        yield ctx.call_activity("a")
        logger.warning("reserved")

    caplog.set_level(logging.INFO, "orders")
    replayer = Replayer([orchestrator])
    history = History("orchestrator")
    replayer.execute(history.encode())
    replayer.execute(history.turn().scheduled(1, "a").turn().completed(1).encode())
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [("INFO", "reserving a piano"), ("WARNING", "reserved")]
    first = caplog.records[0]
    assert (first.__dict__["order"], first.funcName) == (7, "orchestrator")
