"""Which keys and tokens does the demo have? Made at the first run, readable by their owner alone."""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.failure import StackFailure

CHANNELS = ("pos", "web", "call-center")
ROLES = ("viewer", "marketer", "approver", "operator", "agent", "privacy", "admin")
_SECRETS = ("token_secret", "receipt_secret", "postgres_password")


@dataclass(frozen=True)
class Secrets:
    token_secret: str
    receipt_secret: str
    postgres_password: str


@dataclass(frozen=True)
class Credentials:
    write_keys: dict[str, str]
    tokens: dict[str, str]


def ensure_secrets(file: Path, *, database_exists: bool) -> Secrets:
    """What the processes share among themselves; beside an existing database they cannot be made anew."""
    known = _read(file)
    if database_exists and "postgres_password" not in known:
        raise StackFailure(f"{file} is gone, and with it the password of the database: run `make reset`")
    wanted = {name: str(known.get(name) or secrets.token_urlsafe(36)) for name in _SECRETS}
    _write(file, wanted, known)
    return Secrets(**wanted)


def ensure_credentials(file: Path, token_secret: str) -> Credentials:
    """What people and demo channels use. Entries that exist are kept, missing ones are added."""
    known = _read(file)
    keys, tokens = dict(known.get("write_keys") or {}), dict(known.get("tokens") or {})
    for channel in CHANNELS:
        keys.setdefault(channel, f"dk_{channel}_{secrets.token_urlsafe(24)}")
    for role in ROLES:
        if role not in tokens:
            tokens[role] = _token(token_secret, role)
    _write(file, {"write_keys": keys, "tokens": tokens}, known)
    return Credentials(keys, tokens)


def ensure_service_token(file: Path, token_secret: str, service: str, role: str) -> None:
    """A token by which one service asks another, in a file of its own; one that exists is kept."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as text:
        text.write(_token(token_secret, role, f"service-{service}") + "\n")
    partial.replace(file)


def _token(secret: str, role: str, subject: str = "") -> str:
    # Imported here because it takes half a second, and only the first run needs it.
    from libs.common.auth import issue_token

    return issue_token(secret, subject=subject or f"demo-{role}", roles=[role])


def _read(file: Path) -> dict[str, Any]:
    try:
        known = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StackFailure(f"{file} is not JSON ({error}): mend it, or run `make reset`") from None
    if not isinstance(known, dict):
        raise StackFailure(f"{file} does not hold a JSON object: mend it, or run `make reset`")
    return known


def _write(file: Path, wanted: dict[str, Any], known: dict[str, Any]) -> None:
    if wanted == known:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as text:
        text.write(json.dumps({**known, **wanted}, indent=2) + "\n")
    partial.replace(file)
