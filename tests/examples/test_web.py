"""The example of a web application, served by the server that its readers use."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from support.examples import EXAMPLES
from support.sidecar import sidecar_address

SOON = 30.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ends the server by a signal")


@pytest.fixture
def address() -> Iterator[str]:
    with sidecar_address() as address:
        yield address


def call(url: str, method: str = "GET") -> str:
    with urllib.request.urlopen(
        urllib.request.Request(url, method=method), timeout=SOON
    ) as response:
        text: str = response.read().decode()
        return text


def test_a_web_application_works_through_its_worker_and_ends_in_good_order(address: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "application:app", "--port", "0"],
        cwd=EXAMPLES / "web",
        env={**os.environ, "DAPR_GRPC_ENDPOINT": address},
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stderr is not None
            lines: list[str] = []
            found = None
            while found is None:
                line = server.stderr.readline()
                assert line, f"uvicorn ends with {server.wait()}: {''.join(lines)}"
                lines.append(line)
                found = re.search(r"running on (http://\S+)", line)
            url = found[1]
            deadline = time.monotonic() + SOON
            while call(f"{url}/ready") != "true":
                assert time.monotonic() < deadline, "the worker does not connect"
                time.sleep(0.05)
            assert call(f"{url}/orders/30", "POST") == '"\\"30 taken, 70 left\\""'
            assert call(f"{url}/orders/70", "POST") == '"\\"70 taken, 0 left\\""'
            with pytest.raises(urllib.error.HTTPError, match="409"):
                call(f"{url}/orders/1", "POST")
            server.terminate()
            _, errors = server.communicate(timeout=SOON)
        finally:
            if server.poll() is None:
                server.kill()
    assert server.returncode in (0, -15), errors  # uvicorn passes on the signal that it has obeyed
    assert "Application shutdown complete" in errors
    assert errors.count("Traceback") == 1, errors  # of the order that there was no stock for
