"""Does any API of ours break on a request that its own description allows, or nearly allows?

Schemathesis reads each service's description and makes requests from it, right ones and wrong ones. A wrong request
may be refused in any way but one: a server error is a bug.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soaking import soaks
from tests.stack import SERVICES, Stack

_EXAMPLES = 12 if soaks() else 6
# The systematic walk along every border of every parameter takes minutes, so it belongs to the soak.
_PHASES = "examples,coverage,fuzzing" if soaks() else "examples,fuzzing"
_SECONDS_MAX = 150

# What the fuzzer cannot write: a body of the type application/offset+octet-stream.
_UNWRITABLE = "go_on_with_upload"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, kafka_bootstrap: str) -> Iterator[Stack]:
    """A stack of its own: what may be deleted will be, the keys of all others too."""
    running = Stack(tmp_path_factory.mktemp("fuzzed"), database_url=postgres_url, kafka_bootstrap=kafka_bootstrap)
    try:
        running.start()
        yield running
    finally:
        running.discard()


def test_no_request_at_a_door_makes_a_server_error(stack: Stack, tmp_path: Path) -> None:
    """With a write key, before any is deleted: the doors never look at tokens."""
    key = f"Bearer {stack.write_keys['pos']}"
    fuzz(stack, "ingest", key, tmp_path, "--include-path-regex", "^/v1/(events|batch|track|hooks|imports)")


@pytest.mark.parametrize("service", SERVICES)
def test_no_request_makes_a_server_error(stack: Stack, service: str, tmp_path: Path) -> None:
    fuzz(stack, service, f"Bearer {stack.tokens['admin']}", tmp_path)


def fuzz(stack: Stack, service: str, authorization: str, folder: Path, *options: str) -> None:
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{stack.urls[service]}/openapi.json"]
    command += ["--checks", "not_a_server_error", "--phases", _PHASES]
    command += ["--max-examples", str(_EXAMPLES), "--generation-deterministic", "--no-color"]
    command += ["--header", f"Authorization: {authorization}", "--suppress-health-check", "all", "--warnings", "off"]
    command += ["--exclude-path-regex", "redrive", "--exclude-operation-id", _UNWRITABLE, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated is not None and int(generated.group(1)) > 2 * _EXAMPLES, done.stdout[-2_000:]
