"""Does a real process end as its signals, its port and its bugs demand?"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

SECRET = "a-secret-of-forty-characters-0123456789!"
ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio
from pydantic import Field
from libs.common import auth, metrics, runtime, settings, web


class Settings(settings.CommonSettings):
    port: settings.Port = Field(0, validation_alias="DANGOL_DEMO_PORT")


async def ready():
    return []


async def build(chosen):
    {built}
    made = web.create_app("demo", authenticator=auth.Authenticator(chosen.token_secrets),
                          metrics=metrics.Metrics("demo"), readiness=ready)
    return runtime.App(made, components=[runtime.Background("work", work)])


async def work(stopping):
    {work}


runtime.run("demo", Settings, build)
"""


def process(work: str = "await stopping.wait()", built: str = "pass", **extra: str) -> subprocess.Popen[str]:
    environment = {
        "PATH": "/usr/bin:/bin",
        "DANGOL_DATABASE_URL": "postgresql://127.0.0.1/x",
        "DANGOL_TOKEN_SECRET": SECRET,
        "DANGOL_SHUTDOWN_SECONDS_MAX": "2",
        **extra,
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work, built=built)],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_ready(started: subprocess.Popen[str]) -> None:
    assert started.stderr is not None
    for line in started.stderr:
        if '"event": "ready"' in line:
            return
    raise AssertionError("the process ended before it was ready")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_cleanly_on_a_signal(number: signal.Signals) -> None:
    with process() as started:
        wait_ready(started)
        started.send_signal(number)
        _, told = started.communicate(timeout=10)
        assert started.returncode == 0 and '"event": "stopped"' in told and "Traceback" not in told


def test_a_part_that_blocks_the_loop_cannot_outlast_the_bound() -> None:
    with process(work="await stopping.wait(); __import__('time').sleep(60)") as started:
        wait_ready(started)
        began = time.monotonic()
        started.send_signal(signal.SIGTERM)
        _, told = started.communicate(timeout=10)
        assert started.returncode == 1 and time.monotonic() - began < 4 and "Timeout" in told


def test_a_signal_while_the_parts_are_being_made_is_heard() -> None:
    with process(
        built="print('building', file=__import__('sys').stderr, flush=True); await asyncio.sleep(60)"
    ) as started:
        assert started.stderr is not None and started.stderr.readline() == "building\n"
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=10) == 0


def test_a_taken_port_is_one_line_and_exit_code_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with process(DANGOL_DEMO_PORT=port) as started:
            _, told = started.communicate(timeout=10)
        assert started.returncode == 2
        (line,) = told.splitlines()
        assert port in line and "DANGOL_DEMO_PORT" in line


def test_a_bug_while_building_is_logged_in_one_line_and_exit_code_1() -> None:
    with process(built="raise RuntimeError('call 010-1234-5678')") as started:
        _, told = started.communicate(timeout=10)
        assert started.returncode == 1 and len(told.splitlines()) == 1 and "010-1234" not in told
