"""How is the rules service asked? Its public API over HTTP, once; whoever applies files sees what it says."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from deploy.local.failure import StackFailure
from deploy.rules.settings import Target

_ANSWER_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any

    def told(self) -> str:
        """The service's own words."""
        if not isinstance(self.body, dict):
            return f"status {self.status}"
        faults = [f"{each['pointer']} {each['detail']}" for each in self.body.get("errors", [])]
        return "; ".join([str(self.body.get("detail", f"status {self.status}")), *faults])

    def pointers(self) -> list[str]:
        faults = self.body.get("errors", []) if isinstance(self.body, dict) else []
        return [str(each["pointer"]).removeprefix("#") for each in faults]


class Service:
    """Used as `async with Service(target) as service`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._target.token}"}
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS_MAX), headers=headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, if_match: int | None = None) -> Answer:
        assert self._session is not None
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        url = f"{self._target.url}{path}"
        try:
            async with self._session.request(method, url, json=body, headers=headers) as answer:
                return Answer(answer.status, await answer.json(content_type=None))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StackFailure(f"the rules service does not answer at {self._target.url}: {error}") from None
        except ValueError:
            raise StackFailure(f"what answers at {self._target.url} is no rules service: no JSON") from None
