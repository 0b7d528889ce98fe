"""Which versions of Dapr's SDK are known, and how modules of its engine come to be found here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durabletask._worker.options import Semantics

_ENGINE = "dapr.ext.workflow._durabletask"

_HERE = Path(__file__).parent / "engine"
# Under which name each file here is run.
MODULES = {
    f"{_ENGINE}.task": _HERE / "task.py",
    f"{_ENGINE}.worker": _HERE / "worker.py",
    f"{_ENGINE}.client": _HERE / "client.py",
    f"{_ENGINE}.aio.client": _HERE / "aio_client.py",
}

SUPPORTED = "dapr 1.19.x, or dapr 1.18.x with dapr-ext-workflow 1.18.x"


@dataclass(frozen=True)
class Release:
    """A release of Dapr's SDK, as far as it matters here."""

    distribution: str
    version: str
    semantics: Semantics


def release() -> Release:
    """The installed one.

    Raises:
        ImportError: There is none, or none that is known; says what to do.
    """
    dapr, workflow = _version("dapr"), _version("dapr-ext-workflow")
    if dapr is None:
        raise ImportError(
            f"durabletask.dapr puts this engine under Dapr's SDK, which is not installed. It knows {SUPPORTED}: "
            "pip install 'dapr>=1.19,<1.20'"
        )
    if _series(dapr) == "1.19":
        if workflow is not None:
            raise ImportError(
                f"dapr {dapr} has workflows inside, and dapr-ext-workflow {workflow} beside it overwrites them: "
                "pip uninstall dapr-ext-workflow, then pip install --force-reinstall --no-deps dapr=="
                + dapr
            )
        return Release("dapr", dapr, "dapr-1.19")
    if _series(dapr) == "1.18" and workflow is None:
        raise ImportError(
            f"dapr {dapr} has no workflows without dapr-ext-workflow: pip install dapr-ext-workflow=={dapr}"
        )
    if workflow is not None and _series(workflow) == "1.18":
        return Release("dapr-ext-workflow", workflow, "dapr-1.18")
    found = f"dapr {dapr}" + ("" if workflow is None else f" with dapr-ext-workflow {workflow}")
    raise ImportError(
        f"durabletask.dapr does not know {found}; it knows {SUPPORTED}. Install one of these (pip install "
        "'dapr>=1.19,<1.20'), look for a newer durabletask-rs, or leave the import of durabletask.dapr out, to run "
        "on Dapr's own engine"
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _series(version: str) -> str:
    return ".".join(version.split(".")[:2])


class _Finder(MetaPathFinder):
    """Finds the modules of this engine under the names of Dapr's."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = MODULES.get(fullname)
        return None if file is None else importlib.util.spec_from_file_location(fullname, file)


def install() -> None:
    """Have the modules found from now on; a second time nothing is done.

    Raises:
        ImportError: See `release`.
        RuntimeError: Some were loaded from elsewhere before.
    """
    if is_installed():
        return
    known = release()
    loaded = [name for name in MODULES if not _is_ours(sys.modules.get(name))]
    if loaded:
        raise RuntimeError(
            f"durabletask.dapr was imported too late: {known.distribution} {known.version} has loaded its own engine "
            f"already ({loaded[0]}). Import durabletask.dapr before dapr.ext.workflow and whatever imports that, or "
            "run the program with `python -m durabletask.dapr`"
        )
    sys.meta_path.insert(0, _Finder())


def is_installed() -> bool:
    """Whether the modules are, or will be, those of this engine."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return False
    return all(_is_ours(sys.modules.get(name)) for name in MODULES)


def _is_ours(module: Any) -> bool:
    """Whether a module is this engine's; one that is not loaded yet will be."""
    if module is None:
        return True
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).parent == _HERE
