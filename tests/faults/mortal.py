"""Runs a module as a program that ends with its parent: `python -m faults.mortal PARENT_PID MODULE ARGUMENT …`.

The process itself asks the system for that, before it does anything else. Asking between fork and exec, from the
parent, would run gRPC's fork handlers in a child that shares its descriptors, which now and then ends there.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become mortal, then the module."""
    parent, sys.argv = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the process that started this one has ended already")
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
