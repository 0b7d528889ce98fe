"""Checks this folder's programs with mypy and pyright: `make test-types`.

Nothing is said against `program.py`. Of `mistakes.py`, both find each line that ends with `# wrong: …`
and no other.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CLEAN, WRONG = HERE / "program.py", HERE / "mistakes.py"

Finding = tuple[str, int, str]


def by_mypy() -> list[Finding]:
    """What `mypy --strict` has to say, as file, line and message."""
    printed = run("-m", "mypy", "--strict", "--no-pretty", "--hide-error-context", CLEAN, WRONG)
    lines = re.findall(r"^(.+?):(\d+): error: (.*)$", printed, re.MULTILINE)
    if not lines and "Success" not in printed:
        raise SystemExit(f"mypy did not check the programs:\n{printed}")
    return [(Path(file).name, int(line), message) for file, line, message in lines]


def by_pyright() -> list[Finding]:
    """The same of pyright. It is fetched from npm the first time."""
    printed = run("-m", "pyright", "--pythonpath", sys.executable, "--outputjson", CLEAN, WRONG)
    try:
        # What it says of its own set-up may stand before the object and after it.
        found = json.JSONDecoder().raw_decode(printed, printed.index("{"))[0]["generalDiagnostics"]
    except (ValueError, KeyError):
        raise SystemExit(f"pyright did not check the programs:\n{printed}") from None
    return [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in found
        if each["severity"] == "error"
    ]


def run(*arguments: str | Path) -> str:
    process = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    return process.stdout + process.stderr


def main() -> int:
    """Print what is not as it should be; the exit code says whether there is anything."""
    expected = {
        number
        for number, line in enumerate(WRONG.read_text().splitlines(), 1)
        if "  # wrong: " in line
    }
    problems = []
    for checker, findings in (("mypy", by_mypy()), ("pyright", by_pyright())):
        seen = set()
        for file, line, message in findings:
            seen.add(line if file == WRONG.name else 0)
            if file != WRONG.name or line not in expected:
                problems.append(f"{file}:{line}: {checker} objects: {message}")
        problems += [
            f"{WRONG.name}:{line}: {checker} finds nothing wrong"
            for line in sorted(expected - seen)
        ]
    print("\n".join(problems) or f"mypy and pyright find {len(expected)} mistakes, and no other")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
