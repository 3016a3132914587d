"""Where does the demo find the services, and by which keys and tokens?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from deploy.local import addresses, places
from deploy.local.failure import StackFailure
from deploy.local.settings import folder


@dataclass(frozen=True)
class Access:
    """`urls` by service, `write_keys` by channel, `tokens` by role."""

    urls: dict[str, str]
    write_keys: dict[str, str]
    tokens: dict[str, str]


def access() -> Access:
    """From the ports in the environment and the credentials file; StackFailure says how to get one."""
    file = folder("DANGOL_CREDENTIALS_FILE") or places.CREDENTIALS
    urls = {address.name: address.url for address in addresses.SERVICES}
    return Access(urls, *_credentials(file))


def _credentials(file: Path) -> tuple[dict[str, str], dict[str, str]]:
    try:
        known = json.loads(file.read_text())
        return dict(known["write_keys"]), dict(known["tokens"])
    except FileNotFoundError:
        remedy = "start the local stack by `make run`, or name another file in DANGOL_CREDENTIALS_FILE"
        raise StackFailure(f"{file} is not there: {remedy}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StackFailure(f"{file} holds no write keys and tokens ({error!r}): run `make reset`") from None
