"""Mistakes that type checkers find: each line that ends with a comment of this kind, and no other.

Checked, not run. The comment says what is wrong, as a reader would.
"""

from __future__ import annotations

from datetime import timedelta

from durabletask import task
from durabletask.client import TaskHubGrpcClient
from durabletask.task import ActivityContext, OrchestrationContext, RetryPolicy, Task
from durabletask.worker import TaskHubGrpcWorker


def count(ctx: ActivityContext, text: str) -> int:
    return len(text)


async def fetch(ctx: ActivityContext, number: int) -> bytes:
    return bytes(number)


def alone() -> int:
    return 1


async def child(ctx: OrchestrationContext, number: int) -> str:
    return str(number)


async def parent(ctx: OrchestrationContext, number: int) -> str:
    ctx.call_activity(count, input=5)  # wrong: the input
    ctx.call_activity(fetch, input="5")  # wrong: the input
    ctx.call_activity(alone)  # wrong: no activity takes no arguments
    ctx.call_activity(child, input=1)  # wrong: an orchestrator is no activity
    ctx.call_activity(count, "text")  # wrong: the input is given by name
    ctx.call_activity(count, input="text", retries=3)  # wrong: there is no such option
    length: str = await ctx.call_activity(count, input="text")  # wrong: the result
    body: Task[str] = ctx.call_activity(fetch, input=1)  # wrong: the result
    ctx.call_sub_orchestrator(child, input="1")  # wrong: the input
    answer: int = await ctx.call_sub_orchestrator(child, input=1)  # wrong: the result
    ctx.call_sub_orchestrator(count, input="1")  # wrong: an activity is no orchestrator
    ctx.create_timer(5)  # wrong: no timedelta
    ctx.wait_for_external_event("e", timeout=5)  # wrong: no timedelta
    first, second = await task.when_all((ctx.call_activity(count, input="a"), body))
    first.upper()  # wrong: a number
    second.append("x")  # wrong: text
    task.when_all([1, 2])  # wrong: no tasks
    task.when_any(body)  # wrong: no list of tasks
    ctx.instance_id = "other"  # wrong: it can only be read
    await count(None, "text")  # wrong: no context, and nothing to await
    return length + body.get_result() + str(answer)


RetryPolicy(first_retry_interval=5, max_number_of_attempts=3)  # wrong: no timedelta
RetryPolicy(timedelta(seconds=1), 3)  # wrong: the arguments have names
RetryPolicy(first_retry_interval=timedelta(seconds=1))  # wrong: how often?

worker = TaskHubGrpcWorker(concurrency_options=4)  # wrong: no ConcurrencyOptions
worker.add_activity(alone)  # wrong: no activity takes no arguments
worker.add_orchestrator("parent")  # wrong: a name is no function

client = TaskHubGrpcClient()
client.schedule_new_orchestration(parent, input="x")  # wrong: the input
client.schedule_new_orchestration(alone)  # wrong: no orchestrator takes no arguments
client.wait_for_orchestration_completion("id", timeout="5")  # wrong: no number
