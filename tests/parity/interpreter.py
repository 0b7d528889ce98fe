"""Runs programs that are written down as data, as orchestrators.

Only the public API of `durabletask` is used, so that this one file runs under 0.17.4 and under this
package. What a program sees (results, failures, who won) is collected and is its result unless it
returns another, so that a value that was read differently shows in the response.

A program is a list of statements, dicts with a key `do`; tasks are dicts with a key `task`; values are
JSON, in which a dict with a key `$` stands for something computed. The methods below list them all.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator
from datetime import timedelta, timezone
from types import SimpleNamespace
from typing import Any, NamedTuple

from durabletask import task as dt

Block = Generator[Any, Any, bool]
"""Runs statements; True if the program has returned."""


@dataclasses.dataclass
class Point:
    x: Any
    y: Any


class Pair(NamedTuple):
    left: Any
    right: Any


class ProgramError(Exception):
    """What programs raise, beside some built-in exceptions and `NonRetryableError`."""


ERRORS: dict[str, type[Exception]] = {
    "ProgramError": ProgramError,
    "ValueError": ValueError,
    "KeyError": KeyError,
    "NonRetryableError": dt.NonRetryableError,
}


def alpha(ctx: Any, value: Any) -> Any:
    """An activity that programs call as a function; it never runs."""


def beta(ctx: Any, value: Any) -> Any:
    """Another."""


FUNCTIONS: dict[str, Callable[..., Any]] = {"alpha": alpha, "beta": beta, "lambda": lambda c, v: v}


def orchestrators(program: dict[str, Any]) -> list[tuple[str, Any, str | None, bool]]:
    """The arguments of `add_named_orchestrator` for each orchestrator of a program."""
    return [
        (
            each["name"],
            orchestrator(each["body"], each.get("style", "generator")),
            each.get("version"),
            each.get("latest", False),
        )
        for each in program["orchestrators"]
    ]


def orchestrator(body: list[Any], style: str) -> Callable[[Any, Any], Any]:
    """A function to register: a `generator`, a `plain` function, or one that `returns` a generator."""
    if style == "plain":
        return lambda ctx, given: Run(ctx, given).plainly(body)
    if style == "returns":
        return lambda ctx, given: Run(ctx, given).program(body)

    def generator(ctx: Any, given: Any) -> Generator[Any, Any, Any]:
        return (yield from Run(ctx, given).program(body))

    return generator


class Run:
    """One run of a program."""

    def __init__(self, ctx: Any, given: Any) -> None:
        self.ctx = ctx
        self.given = given
        self.variables: dict[str, Any] = {}
        self.seen: list[Any] = []
        self.result: Any = None

    def program(self, body: list[Any]) -> Generator[Any, Any, Any]:
        returned = yield from self.block(body)
        return self.result if returned else self.seen

    def plainly(self, body: list[Any]) -> Any:
        """The program up to its first yield, for orchestrators that are no generators."""
        for _ in self.block(body):
            break
        return self.result

    def block(self, statements: list[Any]) -> Block:
        for statement in statements:
            done: Block | bool = getattr(self, f"do_{statement['do']}")(statement)
            if not isinstance(done, bool):
                done = yield from done
            if done:
                return True
        return False

    # Statements: those that cannot yield say at once whether the program has returned.

    def do_yield(self, it: dict[str, Any]) -> Block:
        """Wait for `task`."""
        waited = self.task(it["task"])
        result = yield waited
        self.seen.append(self.described(waited, result))
        return False

    def do_start(self, it: dict[str, Any]) -> bool:
        """Make `task` and keep it as `into`, without waiting."""
        self.variables[it["into"]] = self.task(it["task"])
        return False

    def do_yield_value(self, it: dict[str, Any]) -> Block:
        """Yield what is no task."""
        self.seen.append((yield self.value(it["value"])))
        return False

    def do_try(self, it: dict[str, Any]) -> Block:
        """`body`; `catch` if it raises; `finally` in any case, up to its first yield or error."""
        try:
            return (yield from self.block(it["body"]))
        except Exception as error:
            self.seen.append(caught(error))
            return (yield from self.block(it.get("catch", [])))
        finally:
            # This also runs when the program is given up, and nobody is there to take an error.
            with contextlib.suppress(Exception):
                next(self.block(it.get("finally", [])), None)

    def do_raise(self, it: dict[str, Any]) -> bool:
        raise ERRORS[it["type"]](it["message"])

    def do_return(self, it: dict[str, Any]) -> bool:
        self.result = self.value(it["value"])
        return True

    def do_continue_as_new(self, it: dict[str, Any]) -> bool:
        """Continue as new; the program goes on to its next yield."""
        self.ctx.continue_as_new(self.value(it["input"]), save_events=it["save_events"])
        return False

    def do_status(self, it: dict[str, Any]) -> bool:
        status = self.value(it["value"])
        if isinstance(status, str):
            # Half a surrogate pair fits into no message.
            status = status.encode(errors="replace").decode()
        self.ctx.set_custom_status(status)
        return False

    def do_patched(self, it: dict[str, Any]) -> Block:
        """`then` if the patch `name` applies, or else `else`."""
        return (yield from self.block(it["then" if self.ctx.is_patched(it["name"]) else "else"]))

    def do_if(self, it: dict[str, Any]) -> Block:
        """`then` if `value` is truthy, or else `else`."""
        return (yield from self.block(it["then" if self.value(it["value"]) else "else"]))

    def do_see(self, it: dict[str, Any]) -> bool:
        """Note a value."""
        self.seen.append(self.value(it["value"]))
        return False

    def do_observe(self, it: dict[str, Any]) -> bool:
        """Note whether the task kept as `name` is complete, and whether it failed."""
        observed = self.variables.get(it["name"])
        if observed is not None:
            self.seen.append([observed.is_complete, observed.is_failed])
        return False

    def do_repeat(self, it: dict[str, Any]) -> Block:
        for _ in range(it["times"]):
            if (yield from self.block(it["body"])):
                return True
        return False

    def do_window(self, it: dict[str, Any]) -> Block:
        """Wait for all of `of`, at most `size` of them at a time."""
        running: list[Any] = []
        todo = list(it["of"])
        while todo or running:
            while todo and len(running) < it["size"]:
                running.append(self.task(todo.pop(0)))
            winner = yield dt.when_any(running)
            self.seen.append(self.state(winner))
            running = [each for each in running if each is not winner]
        return False

    # Tasks

    def task(self, it: dict[str, Any]) -> Any:
        return getattr(self, f"task_{it['task']}")(it)

    def task_activity(self, it: dict[str, Any]) -> Any:
        name = FUNCTIONS[it["function"]] if "function" in it else it["name"]
        return self.ctx.call_activity(name, **self.options(it))

    def task_sub(self, it: dict[str, Any]) -> Any:
        name = FUNCTIONS[it["function"]] if "function" in it else it["name"]
        options = self.options(it)
        if "instance_id" in it:
            options["instance_id"] = it["instance_id"]
        return self.ctx.call_sub_orchestrator(name, **options)

    def options(self, it: dict[str, Any]) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if "input" in it:
            options["input"] = self.value(it["input"])
        if "retry" in it:
            options["retry_policy"] = policy(it["retry"])
        if "app_id" in it:
            options["app_id"] = it["app_id"]
        return options

    def task_timer(self, it: dict[str, Any]) -> Any:
        """`after` so many seconds, or `at` so long after the turn's time, or `due`: wrong on purpose."""
        if "after" in it:
            return self.ctx.create_timer(timedelta(seconds=it["after"]))
        if "due" in it:
            try:
                return self.ctx.create_timer(it["due"])
            except Exception:
                # Which error it is, is not the same; that the call counts, is.
                raise ProgramError("no time") from None
        due = self.ctx.current_utc_datetime + timedelta(seconds=it["at"])
        if "zone" in it:
            zone = timezone(timedelta(hours=it["zone"]))
            due = due.replace(tzinfo=timezone.utc).astimezone(zone)
        return self.ctx.create_timer(due)

    def task_event(self, it: dict[str, Any]) -> Any:
        return self.ctx.wait_for_external_event(it["name"])

    def task_all(self, it: dict[str, Any]) -> Any:
        return dt.when_all([self.task(each) for each in it["of"]])

    def task_any(self, it: dict[str, Any]) -> Any:
        return dt.when_any([self.task(each) for each in it["of"]])

    def task_kept(self, it: dict[str, Any]) -> Any:
        """The task that `start` kept as `name`; when there is none, a timer."""
        kept = self.variables.get(it["name"])
        return self.ctx.create_timer(timedelta(seconds=1)) if kept is None else kept

    # Values

    def value(self, it: Any) -> Any:
        if isinstance(it, list):
            return [self.value(each) for each in it]
        if not isinstance(it, dict):
            return it
        if "$" not in it:
            return {key: self.value(each) for key, each in it.items()}
        return getattr(self, f"value_{it['$']}")(it)

    def value_input(self, it: dict[str, Any]) -> Any:
        return self.given

    def value_seen(self, it: dict[str, Any]) -> Any:
        return list(self.seen)

    def value_last(self, it: dict[str, Any]) -> Any:
        """What was seen last."""
        return self.seen[-1] if self.seen else None

    def value_point(self, it: dict[str, Any]) -> Any:
        return Point(self.value(it["x"]), self.value(it["y"]))

    def value_pair(self, it: dict[str, Any]) -> Any:
        return Pair(self.value(it["left"]), self.value(it["right"]))

    def value_tuple(self, it: dict[str, Any]) -> Any:
        return tuple(self.value(each) for each in it["of"])

    def value_namespace(self, it: dict[str, Any]) -> Any:
        return SimpleNamespace(**{key: self.value(each) for key, each in it["of"].items()})

    def value_unwritable(self, it: dict[str, Any]) -> Any:
        """A value that has no JSON form."""
        return {"here": object()}

    def value_draw(self, it: dict[str, Any]) -> Any:
        """One of the deterministic helpers."""
        return DRAWS[it["what"]](self.ctx)

    # What is seen

    def described(self, waited: Any, result: Any) -> Any:
        if isinstance(result, dt.Task):
            winners = [index for index, each in enumerate(waited.get_tasks()) if each is result]
            return {"winner": winners, **self.state(result)}
        if isinstance(waited, dt.CompositeTask) and isinstance(result, list):
            children = waited.get_tasks()
            if len(children) == len(result):
                return [self.described(*pair) for pair in zip(children, result, strict=True)]
        return result

    def state(self, finished: Any) -> dict[str, Any]:
        if finished.is_failed:
            return {"failure": caught(finished.get_exception())}
        return {"result": self.described(finished, finished.get_result())}


DRAWS: dict[str, Callable[[Any], Any]] = {
    "new_guid": lambda ctx: str(ctx.new_guid()),
    "uuid4": lambda ctx: str(ctx.uuid4()),
    "random": lambda ctx: ctx.random().random(),
    "random_int": lambda ctx: ctx.random_int(-5, 10**6),
    "random_string": lambda ctx: ctx.random_string(7),
    "random_choice": lambda ctx: ctx.random_choice(["red", "green", "blue"]),
    "now_with_sequence": lambda ctx: ctx.now_with_sequence().isoformat(),
    "now": lambda ctx: ctx.current_utc_datetime.isoformat(),
    "instance_id": lambda ctx: ctx.instance_id,
}


def caught(error: Exception) -> list[Any]:
    """What programs note of an exception; the wording of errors of the SDK's own is left out."""
    if isinstance(error, dt.TaskFailedError):
        details = error.details
        return [str(error), details.error_type, details.message, details.stack_trace]
    name = type(error).__name__
    return [name, str(error)] if name in ERRORS else [name]


def policy(it: dict[str, Any]) -> Any:
    """A retry policy; durations are seconds."""
    options: dict[str, Any] = {
        key: timedelta(seconds=it[key])
        for key in ("first_retry_interval", "max_retry_interval", "retry_timeout")
        if it.get(key) is not None
    }
    for key in ("max_number_of_attempts", "backoff_coefficient"):
        if key in it:
            options[key] = it[key]
    names = it.get("non_retryable_error_types")
    types = names and [ERRORS[name[1:]] if name.startswith("!") else name for name in names]
    return dt.RetryPolicy(**options, non_retryable_error_types=types)
