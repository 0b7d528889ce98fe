"""A workflow of dapr-ext-workflow that waits for a month, in virtual time; prints what came of it."""

from datetime import timedelta

from dapr.ext.workflow import (  # type: ignore[import-not-found,unused-ignore]
    DaprWorkflowContext,
    WorkflowActivityContext,
    WorkflowRuntime,
)

from durabletask.testing import Environment


def charge(ctx: WorkflowActivityContext, price: int) -> str:
    return f"charged {price}"


def order(ctx: DaprWorkflowContext, price: int):  # type: ignore[no-untyped-def]
    yield ctx.create_timer(timedelta(days=30))
    receipt = yield ctx.call_activity(charge, input=price)
    return [receipt, ctx.current_utc_datetime.isoformat()]


with Environment() as env:
    host, port = env.sidecar.address.split(":")
    runtime = WorkflowRuntime(host=host, port=port)
    runtime.register_workflow(order)
    runtime.register_activity(charge)
    runtime.start()
    try:
        print(env.run("order", input=3))
    finally:
        runtime.shutdown()
