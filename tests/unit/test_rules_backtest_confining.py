"""Does the process of a job end with its parent, and say so when it needs more memory than it may take?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from services.rules.backtest.shapes import Task, Told
from tests.backtest_log import VISIT, question

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 60.0
# What it allocates is never written to, so that nothing is taken of the machine that runs this.
HUNGRY = """
import sys
from services.rules.backtest import __main__ as job

async def run(task, tell):
    eaten = []
    for _ in range(128):
        eaten.append(bytes(1 << 26))

job.run = run
sys.exit(job.main())
"""
LONG_CALL = """
import ctypes, os, sys
from services.rules.backtest import confining

if not confining.tie_to(int(sys.argv[1]) or os.getppid()):
    sys.exit(7)
print(os.getpid(), flush=True)
# Holds the interpreter's lock, so that nothing of Python runs meanwhile, whatever happens to pipes.
ctypes.PyDLL(None).sleep(600)
"""
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {LONG_CALL!r}, "0"])
child.wait()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's ties and bounds are those of Linux")


def test_a_process_within_one_long_call_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        # The child holds the other end of the pipe as well: it ends when both are gone.
        deadline = time.monotonic() + SECONDS_MAX
        while is_running(child):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                pytest.fail("the child lives on")
            time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_process_whose_parent_is_gone_already_does_not_begin() -> None:
    other = os.getppid()
    done = subprocess.run([sys.executable, "-c", LONG_CALL, str(other)], cwd=ROOT, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 7


def test_a_job_that_takes_more_memory_than_it_may_fails_with_that_reason() -> None:
    task = Task(question(VISIT), "", "", "", 1, memory_mb=64, parent=os.getpid())
    done = subprocess.run(
        [sys.executable, "-c", HUNGRY],
        cwd=ROOT,
        input=msgspec.json.encode(task) + b"\n",
        stdout=subprocess.PIPE,
        timeout=SECONDS_MAX,
        check=False,
    )
    told = msgspec.json.decode(done.stdout, type=Told)
    assert done.returncode == 0 and "more memory than 64 MB" in told.error
