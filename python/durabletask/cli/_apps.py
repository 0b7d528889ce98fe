"""Finding what `MODULE:NAME` on a command line stands for."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any


class AppError(Exception):
    """There is nothing of that name, or nothing that the command can use; says why."""


def load(app: str) -> Any:
    """Import the module, from the current directory or wherever Python finds it, and return what is named.

    Raises:
        AppError: There is none.
        Exception: Whatever the module raises while it is imported.
    """
    module_name, colon, attribute = app.partition(":")
    if not (module_name and colon and attribute):
        raise AppError("expected MODULE:NAME, such as my_app:worker")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise AppError(f"the module can not be imported: {error}") from None
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise AppError(f"module {module_name} has no {attribute}") from None
    return found
