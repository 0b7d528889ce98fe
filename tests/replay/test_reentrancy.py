"""Code that runs because the engine lets go of an object may call the context."""

from __future__ import annotations

import datetime as dt
from typing import Any

from support.history import History
from support.replaying import completion, play


class Parting:
    """Asks the context for the time when nobody holds it any longer."""

    def __init__(self, ctx: Any, times: list[dt.datetime]) -> None:
        self.ctx, self.times = ctx, times

    def __del__(self) -> None:
        self.times.append(self.ctx.current_utc_datetime)


def test_an_input_that_has_no_use_any_longer_may_ask_the_context() -> None:
    times: list[dt.datetime] = []

    def again(ctx: Any, _: Any) -> None:
        ctx.continue_as_new("first")
        ctx.continue_as_new(Parting(ctx, times))

    end = completion(play(History("again").turn(), again))
    assert end.result.value == '"first"', "the first continue_as_new counts"
    assert len(times) == 1, f"the second input is let go of at once; it asked {len(times)} times"
