"""Cases on disk: JSON, one to a file, named by their content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from parity.play import Case

CASES = Path(__file__).resolve().parent / "cases"


def save(case: Case) -> Path:
    text = json.dumps(case, indent=2) + "\n"
    path = CASES / f"case-{hashlib.sha256(text.encode()).hexdigest()[:10]}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def load(path: Path) -> Case:
    case: Case = json.loads(path.read_text())
    return case


def saved_cases() -> list[Path]:
    return sorted(CASES.glob("*.json"))
