"""How far did a replay get? A small file, from which it goes on after an interruption."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from deploy.local.failure import StackFailure


class Journal(Struct):
    """Every line before `lines_done` is acknowledged. `live_ms` is the instant at which the last event is put.

    `about` says which table, mapping and options the journal belongs to.
    """

    about: str
    lines_done: int = 0
    live_ms: int | None = None
    finished: bool = False


def load(file: Path, about: str) -> Journal | None:
    """None where there is none; StackFailure when it belongs to another replay."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Journal)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise StackFailure(f"the journal {file} cannot be read ({error}): remove it, or name another") from None
    if found.about != about:
        raise StackFailure(f"the journal {file} belongs to another table, mapping or options: name another one")
    return found


def save(file: Path, journal: Journal) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.new")
    partial.write_bytes(msgspec.json.encode(journal))
    partial.replace(file)
