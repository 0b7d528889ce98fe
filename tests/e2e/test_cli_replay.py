"""The `durabletask` command: histories of real runs, exported and checked against today's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from durabletask import _core, task
from durabletask.cli import main
from durabletask.cli._replay import _Progress
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.replay import CheckStatus, Replayer, export_history, history_bytes
from durabletask.worker import TaskHubGrpcWorker

from recordings import scenarios
from support.fake_sidecar import FakeSidecar
from support.history import History
from support.sidecar import sidecar_address

COMMAND = Path(sys.executable).parent / "durabletask"

APP = """
def order(ctx, _):
    yield ctx.call_activity("reserve")
    yield ctx.call_activity("{second}")
    yield ctx.wait_for_external_event("paid")

app = [order]
"""


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert COMMAND.exists(), f"{COMMAND} is missing: run `make develop`"
    # Two versions of one module are written within a second, which the byte code's time stamp does not tell apart.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Hub(NamedTuple):
    address: str
    client: TaskHubGrpcClient
    worker: TaskHubGrpcWorker


@pytest.fixture
def hub() -> Iterator[Hub]:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        yield Hub(address, client, worker)


def order(ctx: task.OrchestrationContext, _: object) -> Generator[task.Task[Any], Any, Any]:
    yield ctx.call_activity("reserve")
    yield ctx.call_activity("charge")
    yield ctx.wait_for_external_event("paid")


def test_an_exported_history_replays_until_the_code_is_changed(hub: Hub, tmp_path: Path) -> None:
    hub.worker.add_orchestrator(order)
    for name in ("reserve", "charge"):
        hub.worker._registry.add_named_activity(name, lambda _ctx, _input: None)
    hub.worker.start()
    one = hub.client.schedule_new_orchestration(order)
    hub.client.raise_orchestration_event(one, "paid")
    hub.client.wait_for_orchestration_completion(one, timeout=30)

    exported = run(tmp_path, "history", "export", one, "--address", hub.address, "-o", "one.json")
    assert exported.returncode == 0, exported.stderr
    to_stdout = run(tmp_path, "history", "export", one, "--address", hub.address)
    content, printed = json.loads((tmp_path / "one.json").read_text()), json.loads(to_stdout.stdout)
    assert content["events"] == printed["events"]
    assert (content["instance_id"], content["name"]) == (one, "order")

    (tmp_path / "shop.py").write_text(APP.format(second="charge"))
    good = run(tmp_path, "replay", "--app", "shop:app", "one.json")
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.splitlines() == [
        f"ok                one.json (order {one}, {len(content['events'])} events)",
        "1 history: 1 ok",
    ]

    (tmp_path / "shop.py").write_text(APP.format(second="bill"))
    bad = run(tmp_path, "replay", "--app", "shop:app", "one.json")
    assert bad.returncode == 1, bad.stderr
    assert f"NON-DETERMINISTIC one.json (order {one}, " in bad.stdout
    assert "called call_activity('charge') with ID=2" in bad.stdout
    assert "called call_activity('bill') instead" in bad.stdout
    assert 'shop.py:4 in order: yield ctx.call_activity("bill")' in bad.stdout
    assert bad.stdout.splitlines()[-1] == "1 history: 1 non-deterministic"

    broken = (tmp_path / "one.json").read_bytes()[:-100]
    (tmp_path / "broken.json").write_bytes(broken)
    mixed = run(tmp_path, "replay", "--app", "shop:app", "broken.json", "missing.json", "one.json")
    assert mixed.returncode == 2, "what can not be read wins over what does not replay"
    assert "UNREADABLE        broken.json" in mixed.stdout
    assert "broken.json: byte " in mixed.stdout
    assert "missing.json: No such file" in mixed.stdout
    assert "NON-DETERMINISTIC one.json" in mixed.stdout, "the others are checked nevertheless"
    assert mixed.stdout.splitlines()[-1] == "3 histories: 1 non-deterministic, 2 unreadable"


def test_the_worker_of_a_program_and_a_directory_are_taken(hub: Hub, tmp_path: Path) -> None:
    hub.worker.add_orchestrator(order)
    hub.worker._registry.add_named_activity("reserve", lambda _ctx, _input: None)
    hub.worker.start()
    one = hub.client.schedule_new_orchestration(order)
    hub.client.wait_for_orchestration_start(one, timeout=30)
    histories = tmp_path / "histories" / "of-today"
    histories.mkdir(parents=True)
    run(tmp_path, "history", "export", one, "--address", hub.address, "-o", f"{histories}/1.json")
    program = APP.format(second="charge") + (
        "from durabletask.worker import TaskHubGrpcWorker\n"
        "worker = TaskHubGrpcWorker()\n"
        "worker.add_orchestrator(order)\n"
    )
    (tmp_path / "shop.py").write_text(program)
    checked = run(tmp_path, "replay", "--quiet", "--app", "shop:worker", "histories")
    assert (checked.returncode, checked.stdout) == (0, "1 history: 1 ok\n"), checked.stderr


def test_an_instance_that_does_not_exist_is_not_exported(hub: Hub, tmp_path: Path) -> None:
    exported = run(
        tmp_path, "history", "export", "nobody", "--address", hub.address, "-o", "it.json"
    )
    assert exported.returncode == 1
    assert "nobody: the sidecar at " in exported.stderr
    assert not list(tmp_path.iterdir())


def test_an_empty_history_is_not_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So durabletask-go answers for an instance that does not exist."""
    file = tmp_path / "it.json"
    with FakeSidecar() as sidecar:
        arguments = ["nobody", "--address", sidecar.address, "-o", str(file)]
        assert main(["history", "export", *arguments]) == 1
    assert "has no history of this instance" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        ("nothing", "expected MODULE:NAME"),
        ("no_such_module:app", "can not be imported"),
        ("json:nothing", "module json has no nothing"),
        ("json:dumps", "found function"),
    ],
)
def test_an_app_that_is_none_is_an_error(
    app: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--app", app, "file"]) == 2
    assert problem in capsys.readouterr().err


def test_nothing_to_check_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--app", "recordings.scenarios:ACTIVITIES", str(tmp_path)]) == 2
    assert "there are no files" in capsys.readouterr().err


def test_python_m_durabletask_is_the_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "durabletask", "replay", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "exit code" in shown.stdout


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP.format(second="charge"))
    files = [f"missing-{number}-{'x' * 200}" for number in range(500)]
    with subprocess.Popen(
        [COMMAND, "replay", "--app", "shop:app", *files],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141


def test_long_runs_say_how_far_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.5, 1.1, 1.1, 1.9, 2.2, 2.2])
    progress = _Progress(quiet=False, clock=lambda: next(times))
    for checked in range(1, 5):
        progress.show(Counter({CheckStatus.OK: checked}))
    assert capsys.readouterr().err.splitlines() == [
        "... 2 histories: 2 ok so far",
        "... 4 histories: 4 ok so far",
    ]


def test_histories_of_all_kinds_of_runs_replay(hub: Hub) -> None:
    """Finished, failed, terminated, continued as new, suspended, waiting: as the sidecar stored them."""
    for functions, _ in scenarios.SCENARIOS.values():
        for function in functions:
            if function.__name__ not in hub.worker._registry.orchestrators:
                hub.worker.add_orchestrator(function)
    for activity in scenarios.ACTIVITIES:
        hub.worker.add_activity(activity)
    hub.worker.start()
    client = hub.client
    ended = [instance for _, start in scenarios.SCENARIOS.values() for instance in start(client)]
    waiting, suspended = (
        client.schedule_new_orchestration(scenarios.three_events) for _ in range(2)
    )
    for instance in (waiting, suspended):
        client.wait_for_orchestration_start(instance, timeout=30)
    client.suspend_orchestration(suspended)
    client.raise_orchestration_event(suspended, "ping", data=1)
    for instance in ended:
        client.wait_for_orchestration_completion(instance, timeout=60)

    replayer = Replayer.from_worker(hub.worker)
    met = Counter[str]()
    mine = (*ended, waiting, suspended)
    for instance in client.list_instance_ids().instance_ids:
        if not instance.startswith(mine):  # theirs and those of their sub-orchestrations
            continue
        state = client.get_orchestration_state(instance)
        assert state is not None
        met[str(state.runtime_status)] += 1
        history = stored(client, instance)
        result = replayer.check(history)
        assert result.ok, f"{state.name} {instance}, {state.runtime_status}: {result.message}"
        assert (result.instance_id, result.name) == (instance, state.name)
        if state.runtime_status in (OrchestrationStatus.COMPLETED, OrchestrationStatus.FAILED):
            other = Replayer([waits_for_ever(state.name)]).check(history)
            assert other.status is CheckStatus.NON_DETERMINISTIC, other
    assert met["COMPLETED"] >= 20
    assert met["FAILED"] >= 2
    assert met["TERMINATED"] >= 1
    assert met["SUSPENDED"] == 1
    assert met["RUNNING"] >= 1


def stored(client: TaskHubGrpcClient, instance: str) -> bytes:
    request = _core.encode_get_instance_history_request(instance)
    response = client._call("GetInstanceHistory", request)
    exported = export_history(instance, response)
    assert history_bytes(json.loads(json.dumps(exported))) == response
    return response


def waits_for_ever(name: str) -> Any:
    def other(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("never")

    other.__name__ = name
    return other


WAIT = """
from durabletask import task

def waits(ctx, _):
    yield ctx.wait_for_external_event("go")
    yield ctx.call_activity("a")

def both(ctx, _):
    try:
        yield task.when_all([ctx.call_activity("a"), ctx.call_activity("b")])
    except task.TaskFailedError:
        yield ctx.call_activity("c")

app = [waits, both]
"""


def test_two_semantics_tell_which_instances_would_decide_otherwise(tmp_path: Path) -> None:
    (tmp_path / "compared.py").write_text(WAIT)
    (tmp_path / "histories").mkdir()
    failed = History("both").scheduled(1, "a").scheduled(2, "b").turn().failed(1)
    stories = {
        "waiting": History("waits").turn(),
        "went_on": History("waits").turn().raised("go").scheduled(1, "a").turn().completed(1),
        "parted": failed.scheduled(3, "c").turn(),
    }
    for name, story in stories.items():
        (tmp_path / "histories" / name).write_bytes(story.encode())
    files = ["--app", "compared:app", "histories"]
    compared = run(tmp_path, "replay", "--semantics", "0.17", "--semantics", "dapr-1.19", *files)
    lines = [line.split()[:2] for line in compared.stdout.splitlines() if line[0] != " "]
    assert lines[:-1] == [
        ["OTHERWISE", "histories/parted"],
        ["same", "histories/waiting"],
        ["same", "histories/went_on"],
    ]
    assert "under dapr-1.19: " in compared.stdout
    assert "2 the same under 0.17 and dapr-1.19, 1 would decide otherwise" in compared.stdout
    assert compared.returncode == 1
    assert run(tmp_path, "replay", "--semantics", "0.17", *files).returncode == 0
    assert run(tmp_path, "replay", "--semantics", "dapr-1.19", *files).returncode == 1
