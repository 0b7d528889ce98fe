"""Checks that the wheel in dist holds what a user needs and nothing that belongs to development.

Run by `make wheel`. Also imported by test_wheel.py, for `find_wheel`.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIZE_LIMIT = 20 * 1024 * 1024

REQUIRED = [
    r"durabletask/__init__\.py",
    r"durabletask/py\.typed",
    r"durabletask/_core\.pyi",
    r"durabletask/_core\.[^/]*\.(so|pyd)",
    r"durabletask/(task|worker|client|deterministic|replay|sidecar)\.py|durabletask/\w+/__init__\.py",
    r"durabletask_rs-[^/]*\.dist-info/licenses/LICENSE",
    r"durabletask_rs-[^/]*\.dist-info/entry_points\.txt",
]
ALLOWED = (
    r"durabletask/.+\.(py|pyi|so|pyd)|durabletask/py\.typed|durabletask_rs-[^/]*\.dist-info/.+"
)
FORBIDDEN = r"(^|/)(tests?|examples|benches|__pycache__)(/|$)|(^|/)(test_[^/]*|conftest)\.py$"


def find_wheel() -> Path:
    """Return the newest wheel in dist that this interpreter can install; exit if there is none."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheels = (ROOT / "dist").glob(f"durabletask_rs-*-{tag}-*.whl")
    newest = max(wheels, key=lambda wheel: wheel.stat().st_mtime, default=None)
    if newest is None:
        sys.exit(f"dist holds no wheel of durabletask-rs for {tag}: run `make wheel` first")
    return newest


def problems(wheel: Path) -> list[str]:
    """Return what is wrong with the wheel, a line each."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        headers = archive.read(metadata).decode().splitlines()
        scripts = next((name for name in names if name.endswith("/entry_points.txt")), None)
        commands = archive.read(scripts).decode() if scripts else ""

    found = [
        f"nothing matches {pattern}"
        for pattern in REQUIRED
        if not any(re.fullmatch(pattern, name) for name in names)
    ]
    for name in names:
        if re.search(FORBIDDEN, name):
            found.append(f"{name} belongs to development")
        elif not re.fullmatch(ALLOWED, name):
            found.append(f"{name} is of no known kind")

    requires = [line for line in headers if line.startswith("Requires-Dist:")]
    runtime = [line for line in requires if "extra ==" not in line]
    if len(runtime) != 1 or not runtime[0].startswith("Requires-Dist: grpcio"):
        found.append(f"grpcio has to be the only dependency, found {runtime}")
    if "License-Expression: MIT" not in headers:
        found.append("the metadata names no MIT licence")
    for command in (
        "durabletask=durabletask.cli:main",
        "durabletask-sidecar=durabletask.sidecar:main",
    ):
        if command not in commands.replace(" ", "").splitlines():
            found.append(f"there is no command {command.partition('=')[0]}")
    if wheel.stat().st_size > SIZE_LIMIT:
        found.append(f"{wheel.stat().st_size:,} bytes are more than {SIZE_LIMIT:,}")
    return found


def main() -> None:
    """Print the wheel's path and size, or what is wrong with it."""
    wheel = find_wheel()
    if found := problems(wheel):
        sys.exit(f"{wheel.name}:\n  " + "\n  ".join(found))
    print(f"dist/{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, contents checked")


if __name__ == "__main__":
    main()
