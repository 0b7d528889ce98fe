"""`import durabletask.dapr`: when it takes effect, and what it says when it can not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import durabletask

from support.dapr_sdk import VERSIONS, environment, sdk_python

PACKAGE = str(Path(durabletask.__file__).parent.parent)


def python(version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an interpreter that has Dapr's SDK and this package."""
    command = [sdk_python(version), *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)


def output(version: str, code: str) -> list[str]:
    process = python(version, "-c", code)
    assert process.returncode == 0, process.stderr
    return process.stdout.split()


def without_sdk(folder: Path, **versions: str) -> subprocess.CompletedProcess[str]:
    """Import the module where only metadata says that there is an SDK, of these versions."""
    for name, version in versions.items():
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        distribution = name.replace("_", "-")
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
    paths = os.pathsep.join([PACKAGE, str(folder)])
    return subprocess.run(
        [sys.executable, "-c", "import durabletask.dapr"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_the_engine_is_found_under_the_names_of_daprs(version: str) -> None:
    code = """
import durabletask.dapr, sys
print(durabletask.dapr.active(), "dapr.ext.workflow" in sys.modules)
import dapr.ext.workflow.aio
from dapr.ext.workflow._durabletask import client, task, worker
import dapr.ext.workflow._durabletask.aio.client as aio
import durabletask.worker, durabletask.client, durabletask.aio
print(durabletask.dapr.active())
print(issubclass(worker.TaskHubGrpcWorker, durabletask.worker.TaskHubGrpcWorker))
print(issubclass(client.TaskHubGrpcClient, durabletask.client.TaskHubGrpcClient))
print(issubclass(aio.AsyncTaskHubGrpcClient, durabletask.aio.AsyncTaskHubGrpcClient))
print(task.when_all is durabletask.task.when_all, worker.__name__)
import dapr.ext.workflow._durabletask.internal.shared as shared
print("durabletask/dapr" in shared.__file__)
print(worker.TaskHubGrpcWorker()._semantics)
"""
    expected = ["True", "False", "True", "True", "True", "True", "True"]
    expected += ["dapr.ext.workflow._durabletask.worker", "False", f"dapr-{version[:4]}"]
    assert output(version, code) == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_without_the_import_nothing_is_changed(version: str) -> None:
    code = """
import durabletask, durabletask.worker, durabletask.client, durabletask.aio, sys
print(any(name.startswith("durabletask.dapr") for name in sys.modules), "dapr" in sys.modules)
import dapr.ext.workflow
print(sys.modules["dapr.ext.workflow._durabletask.worker"].__file__.endswith("_durabletask/worker.py"))
"""
    assert output(version, code) == ["False", "False", "True"]


def test_too_late_is_an_error_that_says_what_to_do() -> None:
    process = python(VERSIONS[-1], "-c", "import dapr.ext.workflow, durabletask.dapr")
    assert process.returncode == 1
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: durabletask.dapr was imported too late: ")
    assert VERSIONS[-1] in last
    assert "before dapr.ext.workflow" in last
    assert "python -m durabletask.dapr" in last


def test_importing_twice_is_no_harm() -> None:
    code = """
import sys, durabletask.dapr
import dapr.ext.workflow
del sys.modules["durabletask.dapr"]
import durabletask.dapr
print(durabletask.dapr.active())
"""
    assert output(VERSIONS[-1], code) == ["True"]


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({}, ["not installed", "pip install 'dapr>=1.19,<1.20'"]),
        ({"dapr": "1.20.0"}, ["does not know dapr 1.20.0", "dapr 1.19.x", "newer durabletask-rs"]),
        (
            {"dapr": "1.17.5", "dapr_ext_workflow": "1.17.5"},
            ["does not know dapr 1.17.5 with dapr-ext-workflow 1.17.5"],
        ),
        ({"dapr": "1.18.3"}, ["pip install dapr-ext-workflow==1.18.3"]),
        (
            {"dapr": "1.19.0", "dapr_ext_workflow": "1.18.3"},
            ["pip uninstall dapr-ext-workflow", "1.19.0", "1.18.3"],
        ),
    ],
)
def test_what_is_not_known_is_named(
    tmp_path: Path, versions: dict[str, str], words: list[str]
) -> None:
    process = without_sdk(tmp_path, **versions)
    assert process.returncode == 1
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert [word for word in words if word not in last] == [], last


def test_a_program_is_run_as_python_runs_it(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import dapr.ext.workflow\n")
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, helper, durabletask.dapr\n"
        "print(__name__, sys.argv[0] == __file__, sys.argv[1:], durabletask.dapr.active())\n"
        "sys.exit(7)\n"
    )
    process = python(VERSIONS[-1], "-m", "durabletask.dapr", str(program), "-x", "y")
    assert process.stdout.split() == ["__main__", "True", "['-x',", "'y']", "True"], process.stderr
    assert process.returncode == 7


def test_a_module_is_run_too() -> None:
    process = python(VERSIONS[-1], "-m", "durabletask.dapr", "-m", "json.tool", "--help")
    assert "json.tool" in process.stdout
    assert process.returncode == 0


def test_a_module_has_its_place_and_a_command_its_arguments(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "prices.py").write_text("TEA = 3\n")
    (package / "__main__.py").write_text(
        "import sys\nfrom . import prices\n"
        "print(__name__, __package__, __spec__.name, prices.TEA, sys.argv[1:], sys.argv[0] == __file__)\n"
    )
    paths = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    in_place = [
        "-c",
        paths + "import runpy; runpy.run_module('durabletask.dapr', run_name='__main__')",
    ]
    process = python(VERSIONS[-1], *in_place, "-m", "shop", "-m", "x")
    expected = ["__main__", "shop", "shop.__main__", "3", "['-m',", "'x']", "True"]
    assert process.stdout.split() == expected, process.stderr
    command = "import sys, durabletask.dapr; print(__name__, sys.argv, durabletask.dapr.active())"
    process = python(VERSIONS[-1], "-m", "durabletask.dapr", "-c", command, "-c", "x")
    expected = ["__main__", "['-c',", "'-c',", "'x']", "True"]
    assert process.stdout.split() == expected, process.stderr


def test_a_program_stays_the_main_module_while_its_worker_serves_on(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import atexit, pickle, sys, threading\n"
        "class Order:\n    pass\n"
        "def late():\n"
        "    print(type(pickle.loads(pickle.dumps(Order()))) is Order, sys.modules['__main__'].__file__ == __file__)\n"
        "threading.Timer(0.2, late).start()\n"
    )
    process = python(VERSIONS[-1], "-m", "durabletask.dapr", str(program))
    assert process.stdout.split() == ["True", "True"], process.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-m"],
        ["-c"],
        ["no/such/program.py"],
        ["-m", "no_such_module"],
        ["-m", "no.such.module"],
    ],
)
def test_what_can_not_be_run_is_exit_code_2(arguments: list[str]) -> None:
    process = python(VERSIONS[-1], "-m", "durabletask.dapr", *arguments)
    assert process.returncode == 2
    assert "durabletask.dapr" in process.stderr
