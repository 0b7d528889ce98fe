"""Deploys under load fail no instance. `make test-deploy` does the same with more of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="ends workers by signals")
def test_a_rolling_upgrade_and_a_bad_deploy_fail_nothing() -> None:
    tests = Path(__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-m", "deploys.run", "--instances", "24"],
        cwd=tests,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    upgrade, deploy = ran.stdout.splitlines()
    assert "24 instances" in upgrade
    assert ": 0 failed; 24 COMPLETED;" in upgrade
    assert ": 0 failed; 24 COMPLETED;" in deploy
    assert "had stalled" in deploy
