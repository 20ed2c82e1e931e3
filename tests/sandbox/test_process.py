"""The sandbox as a process: what it prints, and how it stops."""

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import PIPE

import aiohttp
import pytest

from tests.support.process import environment

from .caller import Caller

SCRIPT = """
import sys
from bridge.sandbox.options import SandboxOptions
from bridge.sandbox.http.server import run
sys.exit(run("127.0.0.1", int(sys.argv[1]), SandboxOptions()))
"""


async def launch(port: int) -> asyncio.subprocess.Process:
    command = [sys.executable, "-c", SCRIPT, str(port)]
    return await asyncio.create_subprocess_exec(*command, env=environment(), stdout=PIPE, stderr=PIPE)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_and_stops_cleanly_when_asked(stop: signal.Signals) -> None:
    process = await launch(0)
    assert process.stdout is not None
    first = (await process.stdout.readline()).decode().strip()
    base_url = first.removeprefix("sandbox listening on ")
    async with aiohttp.ClientSession() as session, session.get(f"{base_url}/v1/acme/organization/") as response:
        assert response.status == 200
    process.send_signal(stop)
    rest, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert f"AMIGO_BASE_URL={base_url}" in rest.decode()


async def test_a_stream_that_stalls_does_not_keep_it_from_stopping() -> None:
    process = await launch(0)
    assert process.stdout is not None
    base_url = (await process.stdout.readline()).decode().strip().removeprefix("sandbox listening on ")
    async with aiohttp.ClientSession() as session:
        caller, started = await Caller(session, base_url).sign_in(), asyncio.Event()
        stalled = asyncio.create_task(caller.create("x [[fault:stall]]", started=started))
        await started.wait()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert (await stalled).of("interaction-complete") == []
    await process.communicate()
    assert process.returncode == 0


async def test_a_port_in_use_is_said_in_one_line_and_ends_with_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await launch(taken.getsockname()[1])
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert len(errors.decode().splitlines()) == 1
