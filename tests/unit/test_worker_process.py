"""A worker and its process: the end of the program, signals, forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from support import wire
from support.fake_sidecar import FakeSidecar, activity_item
from support.worker_program import BEGINNING, SOON, program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")

ENDINGS = {
    "start": "worker.start()",
    "with and start": "with worker:\n    worker.start()\n    threading.Event().wait()",
    "with a main that exits": "worker.start()\nsys.exit(0)",
    # Where SIGTERM is taken only once the main thread has come to its end.
    "on another thread": (
        "threading.Thread(target=say_when_sigterm_is_taken, daemon=True).start()\n"
        "thread = threading.Thread(target=worker.start)\nthread.start()\nthread.join()"
    ),
    "run": "sys.exit(worker.run())",
    "serve": "sys.exit(asyncio.run(worker.serve()))",
    "async with": (
        "async def main():\n    async with worker:\n        await asyncio.Event().wait()\nasyncio.run(main())"
    ),
}


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("ending", list(ENDINGS))
def test_a_program_serves_until_a_signal_which_lets_what_runs_end(
    ending: str, signum: signal.Signals
) -> None:
    with program(ENDINGS[ending]) as running:
        running.echoes()
        if ending == "on another thread":
            assert running.process.stdout is not None
            assert running.process.stdout.readline() == "SIGTERM is taken\n"
        running.begin_slow(0.5)
        running.process.send_signal(signum)
        _, response = running.sidecar.completion()
        assert wire.string(response, 3, 1) == '"slow ended"'
        code, errors = running.ends()
    if signum is signal.SIGINT and "KeyboardInterrupt" in errors:
        # As in any program whose main thread has not come to its end, even if that is only a moment away.
        assert ending not in ("run", "serve")
        assert code == -signal.SIGINT, errors
    else:
        assert code == 0, errors
        assert "Traceback" not in errors
    assert "Exception ignored" not in errors


LINES_TO_STDOUT = """
handler = logging.StreamHandler(sys.stdout)
logging.getLogger("durabletask.worker").addHandler(handler)
logging.getLogger("durabletask.worker").setLevel(logging.INFO)
"""


@pytest.mark.parametrize("ending", ["start", "run", "serve"])
def test_a_second_signal_ends_the_process_at_once(ending: str) -> None:
    with program(LINES_TO_STDOUT + ENDINGS[ending]) as running:
        if ending == "start":
            running.says("its worker goes on until")
        running.sidecar.send(activity_item("slow", "60"))
        running.says("slow began")
        running.process.send_signal(signal.SIGTERM)
        # Two signals of a kind, of which the first waits to be taken, are one.
        running.says("topping")
        running.sidecar.send(activity_item("echo"))  # not begun any more
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        code, errors = running.ends()
        assert time.monotonic() - began < 5
    assert code == -signal.SIGTERM, errors


SERVER = """
import contextlib, uvicorn

@contextlib.asynccontextmanager
async def lifespan(app):
    serving = asyncio.create_task(worker.serve())
    yield
    print("server ends", flush=True)
    await serving

async def app(scope, receive, send):
    async with lifespan(app):
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})

uvicorn.run(app, port=0, log_level="warning")
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_serve_inside_a_server_lets_the_server_end_too(signum: signal.Signals) -> None:
    with program(SERVER) as running:
        running.begin_slow(0.5)
        running.process.send_signal(signum)
        _, response = running.sidecar.completion()
        assert wire.string(response, 3, 1) == '"slow ended"'
        output, errors = running.process.communicate(timeout=SOON)
    assert running.process.returncode in (0, -signum), errors  # the signal that it has obeyed
    assert "server ends" in output


ENDLESS = """
import atexit
from durabletask._worker import last_threads
last_threads.PATIENCE = 0.3
atexit.register(print, "cleaned up", flush=True)
threading.Thread(target=threading.Event().wait, name="endless").start()
"""


@pytest.mark.parametrize("ending", list(ENDINGS))
def test_a_thread_that_goes_on_does_not_keep_the_program_after_sigterm(ending: str) -> None:
    with program(ENDLESS + ENDINGS[ending]) as running:
        running.echoes()
        if ending == "on another thread":
            running.says("SIGTERM is taken")
        running.begin_slow(0.5)
        running.process.terminate()
        _, response = running.sidecar.completion()
        assert wire.string(response, 3, 1) == '"slow ended"'
        output, errors = running.process.communicate(timeout=SOON)
    assert running.process.returncode == 0, errors
    assert "SIGTERM: the program ends now, although 1 of its threads go on: endless." in errors
    assert "cleaned up\n" in output
    assert "Exception ignored" not in errors


def test_what_would_end_soon_may_and_executors_are_no_threads_that_go_on() -> None:
    ending = (
        "import concurrent.futures\nconcurrent.futures.ThreadPoolExecutor(1).submit(print).result()\n"
        "threading.Thread(target=lambda: (time.sleep(1), print('ended by itself', flush=True))).start()\n"
    )
    with program(ending + ENDINGS["start"]) as running:
        running.echoes()
        running.process.terminate()
        output, errors = running.process.communicate(timeout=SOON)
    assert running.process.returncode == 0, errors
    assert "ended by itself" in output
    assert "go on" not in errors


def test_run_says_by_its_exit_code_that_something_was_left_running() -> None:
    with program("worker._settings.__dict__['stop_timeout'] = 0.1\n" + ENDINGS["run"]) as running:
        running.begin_slow(60)
        running.process.send_signal(signal.SIGTERM)
        code, errors = running.ends()
    assert code == 1, errors
    assert "Stopped with 1 work items still running" in errors


@pytest.mark.parametrize("ending", ["run", "serve"])
def test_run_and_serve_wait_for_the_sidecar(ending: str) -> None:
    with FakeSidecar() as sidecar:
        pass  # its port is free now
    with subprocess.Popen(
        [sys.executable, "-c", BEGINNING + ENDINGS[ending], sidecar.address], stderr=subprocess.PIPE
    ) as process:
        try:
            time.sleep(1.0)  # some attempts fail
            assert process.poll() is None
            with sidecar:
                sidecar.wait_for_streams(1)
                process.terminate()
                assert process.wait(SOON) == 0
        finally:
            process.kill()


def test_a_program_whose_main_thread_fails_serves_on_and_says_so() -> None:
    with program("worker.start()\nraise ValueError('gone')") as running:
        running.echoes()
        running.process.terminate()
        code, errors = running.ends()
    assert code == 1
    assert (
        "The program has ended with ValueError; its worker goes on until Ctrl-C or SIGTERM."
        in errors
    )


def test_a_stop_by_somebody_else_ends_the_program() -> None:
    ending = "worker.start()\nthreading.Timer(0.5, worker.stop).start()"
    with program(ending) as running:
        code, errors = running.ends()
    assert code == 0, errors
    with program("threading.Timer(0.5, worker.stop).start()\nsys.exit(worker.run())") as running:
        code, errors = running.ends()
    assert code == 0, errors


@pytest.mark.parametrize(
    "ending",
    [
        "signal.signal(signal.SIGTERM, lambda *_: (print('mine', flush=True), worker.stop()))\nworker.start()",
        "worker.start()\nsignal.signal(signal.SIGTERM, lambda *_: (print('mine', flush=True), worker.stop()))",
    ],
)
def test_a_handler_of_the_program_stays(ending: str) -> None:
    with program(ending) as running:
        running.echoes()
        running.process.terminate()
        output, errors = running.process.communicate(timeout=SOON)
    assert running.process.returncode == 0, errors
    assert output == "mine\n"


def test_a_stopped_worker_leaves_signals_as_they_were() -> None:
    ending = (
        "worker.start()\nworker.stop()\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\nos.kill(os.getpid(), signal.SIGTERM)"
    )
    with program(ending) as running:
        code, errors = running.ends()
    assert code == -signal.SIGTERM, errors


def test_a_worker_started_by_a_daemon_thread_does_not_keep_the_process() -> None:
    ending = (
        "thread = threading.Thread(target=worker.start, daemon=True)\nthread.start()\nthread.join()"
    )
    with program(ending) as running:
        code, errors = running.ends()
    assert code == 0, errors


def test_an_interactive_session_ends_when_it_is_left() -> None:
    with program("sys.ps1 = '>>> '\nworker.start()") as running:
        code, errors = running.ends()
    assert code == 0, errors


def test_activities_may_use_executors_after_the_program_s_end() -> None:
    ending = (
        "@worker.activity\nasync def off(ctx, _): return await asyncio.to_thread(lambda: 'done')\n"
        "worker.start()"
    )
    with program(ending) as running:
        time.sleep(0.3)  # the program has come to its end
        running.sidecar.send(activity_item("off"))
        _, response = running.sidecar.completion()
        assert wire.string(response, 3, 1) == '"done"'
        running.process.terminate()
        assert running.ends()[0] == 0


FORKED = """
from durabletask.worker import TaskHubGrpcWorker
worker.start()
assert worker.is_worker_ready()
child = os.fork()
if child == 0:
    began = time.monotonic()
    assert not worker.is_worker_ready()
    worker.stop()
    assert time.monotonic() - began < 1, "stop() waited in the child"
    with worker:
        try:
            worker.start()
        except RuntimeError as error:
            print(error, flush=True)
            os._exit(7)
        assert worker.is_worker_ready()
        print("child works", flush=True)
    os._exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert worker.is_worker_ready()
worker.stop()
print("parent ended")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("support", ["0", "1"])
def test_a_forked_child_starts_anew_and_its_parent_goes_on(
    support: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", support)
    with program(FORKED) as running:
        output, errors = running.process.communicate(timeout=SOON)
    assert running.process.returncode == 0, errors
    child, _, parent = output.partition("\n")
    assert parent == "parent ended\n"
    if support == "1":
        assert child == "child works"
        assert running.sidecar.hellos >= 2
    else:
        assert "set GRPC_ENABLE_FORK_SUPPORT=true" in child


BUSY_FORKS = """
worker.start()
children = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        worker.stop()
        os._exit(0 if not worker.is_worker_ready() else 1)
    children.append(child)
    time.sleep(0.01)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
worker.stop()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_children_forked_under_load_find_no_lock_taken() -> None:
    with program(BUSY_FORKS) as running:
        for number in range(500):
            running.sidecar.send(activity_item("echo", "1", task_id=number))
        code, errors = running.ends()
    assert code == 0, errors


def test_signals_are_left_alone_outside_the_main_thread() -> None:
    ended: list[int] = []

    def serve(worker: Any) -> None:
        ended.append(worker.run())

    from durabletask.worker import TaskHubGrpcWorker

    before = signal.getsignal(signal.SIGTERM)
    with FakeSidecar() as sidecar:
        worker = TaskHubGrpcWorker(host_address=sidecar.address)
        thread = threading.Thread(target=serve, args=(worker,))
        thread.start()
        sidecar.wait_for_streams(1)
        assert signal.getsignal(signal.SIGTERM) is before
        worker.stop()
        thread.join(SOON)
    assert ended == [0]


SIGTERM_OF_CHILDREN = """
worker.start()
ours = signal.getsignal(signal.SIGTERM)
found = []

def fork():
    child = os.fork()
    if child == 0:
        default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        os._exit(0 if default and not signal.pthread_sigmask(signal.SIG_BLOCK, ()) else 1)
    found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    found.append(len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))

fork()
thread = threading.Thread(target=fork)
thread.start()
thread.join()
print(found, signal.getsignal(signal.SIGTERM) is ours, flush=True)
worker.stop()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_sigterm_ends_a_forked_child_as_ever_and_the_parent_drains() -> None:
    with program(SIGTERM_OF_CHILDREN) as running:
        output, errors = running.process.communicate(timeout=SOON)
    assert running.process.returncode == 0, errors
    assert output == "[0, 0, 0, 0] True\n", (
        "a child has the handler, or somebody the blocked signal"
    )
