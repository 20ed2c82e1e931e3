"""A test that hangs on uvloop is ended by its time-out, and those after it are run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOOP = """
from tests.edges.conftest import heartbeat
from tests.support.loops import uvloop_with_time_out


def pytest_asyncio_loop_factories():
    return {"uvloop": uvloop_with_time_out}
"""
TESTS = """
import asyncio


async def test_that_hangs():
    await asyncio.Event().wait()


async def test_after_it():
    await asyncio.sleep(0)
"""


def test_a_test_that_hangs_on_uvloop_is_ended_by_its_time_out(tmp_path: Path) -> None:
    Path(tmp_path, "conftest.py").write_text(LOOP, encoding="utf-8")
    Path(tmp_path, "test_hanging.py").write_text(TESTS, encoding="utf-8")
    options = ["-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--timeout=2", f"--rootdir={tmp_path}"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert "1 failed, 1 passed" in run.stdout, run.stdout + run.stderr
    assert "Timeout" in run.stdout + run.stderr
