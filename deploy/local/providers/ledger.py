"""What did the outside world accept? An append-only file, by which others check that nothing was sent twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

from libs.common import clock


class Ledger:
    """One line per acceptance; `kind` is `accepted`, or `repeat` for a key that was accepted before."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        # Line by line, so that what was accepted is in the file when the answer goes out.
        self._file = path.open("a", encoding="utf-8", buffering=1)
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            # A line that was cut off by a crash must not swallow the next one.
            self._file.write("\n")

    def add(self, kind: str, channel: str, message_id: str, key: str, recipient: str, **more: Any) -> None:
        line = {
            "at": clock.now().isoformat(),
            "kind": kind,
            "channel": channel,
            "message_id": message_id,
            "idempotency_key": key,
            "recipient_sha256": hashlib.sha256(recipient.encode("utf-8", "replace")).hexdigest(),
            **more,
        }
        self._file.write(json.dumps(line) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        found = []
        for line in self.path.read_text("utf-8").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def close(self) -> None:
        self._file.close()
