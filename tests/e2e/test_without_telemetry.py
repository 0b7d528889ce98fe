"""Workers where OpenTelemetry is not installed, or is of no use."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
{before}
from durabletask.client import TaskHubGrpcClient
from durabletask.sidecar import Sidecar
from durabletask import worker
from durabletask.worker import TaskHubGrpcWorker

def hello(ctx, name):
    return f"Hello {{name}}"

async def later(ctx, name):
    return name

def greet(ctx, name):
    first = yield ctx.call_activity(hello, input=name)
    return (yield ctx.call_activity(later, input=first))

with Sidecar() as sidecar, TaskHubGrpcClient(host_address=sidecar.address) as client:
    with TaskHubGrpcWorker(host_address=sidecar.address) as w:
        w.add_orchestrator(greet)
        w.add_activity(hello)
        w.add_activity(later)
        w.start()
        state = client.wait_for_orchestration_completion(
            client.schedule_new_orchestration(greet, input="you"), timeout=60
        )
print(state.serialized_output, worker.otel_tracer)
"""

# Stands for a package that is broken in a way of its own.
BROKEN = """
import importlib.abc
class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.startswith("opentelemetry"):
            raise RuntimeError("half installed")
sys.meta_path.insert(0, Broken())
"""


@pytest.mark.parametrize(
    "before", ["sys.modules['opentelemetry'] = None", BROKEN], ids=["not-there", "broken"]
)
def test_a_worker_works_without_it(before: str) -> None:
    program = PROGRAM.format(before=before)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == '"Hello you" None\n'
    assert ran.stderr == ""
