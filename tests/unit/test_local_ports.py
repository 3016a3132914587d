"""Is a free port given to one process only?"""

from __future__ import annotations

import socket
import subprocess
import sys

from deploy.local import ports

_ASK = "from deploy.local import ports; print(ports.free_port())"


def test_a_port_that_was_given_is_not_given_to_another_process() -> None:
    given = ports.free_port()
    assert ports.is_free(given), "nobody listens yet"
    narrow = (
        f"import deploy.local.ports as ports; ports._PORT_LOWEST = ports._PORT_HIGHEST = {given}; ports.free_port()"
    )
    asked = subprocess.run([sys.executable, "-c", narrow], capture_output=True, text=True, check=False)
    assert asked.returncode != 0
    assert "no free port" in asked.stderr


def test_a_port_is_free_again_when_its_process_has_ended() -> None:
    gone = int(subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True).stdout)
    assert ports._reserved(gone)


def test_a_port_on_which_somebody_listens_is_not_free() -> None:
    with socket.create_server((ports.LOOPBACK, ports.free_port())) as server:
        assert not ports.is_free(server.getsockname()[1])
