"""Is a part of the stack ready, and if not, what does it say it waits for?"""

import asyncio
import json

from deploy.local.failure import StackFailure
from deploy.local.ports import LOOPBACK, answers

_POLL_SECONDS = 0.1
_ANSWER_SECONDS_MAX = 3.0


async def until_ready(port: int, name: str, seconds_max: float) -> str:
    """Asks /readyz until it says yes."""
    reason = "nothing listens yet"
    try:
        async with asyncio.timeout(seconds_max):
            while True:
                status, told = await _ask(port)
                if status == 200:
                    return f"ready on http://{LOOPBACK}:{port}"
                reason = told
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise StackFailure(f"{name} was not ready after {seconds_max:.0f} s: {reason}") from None


async def until_listening(port: int, name: str, seconds_max: float) -> str:
    try:
        async with asyncio.timeout(seconds_max):
            while not answers(port):
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise StackFailure(f"{name} does not listen on port {port} after {seconds_max:.0f} s") from None
    return f"listening on {LOOPBACK}:{port}"


async def _ask(port: int) -> tuple[int, str]:
    """Status and reasons of /readyz; 0 when there was no answer."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(f"GET /readyz HTTP/1.0\r\nHost: {LOOPBACK}:{port}\r\n\r\n".encode())
                answer = await reader.read(65_536)
            finally:
                writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), _reasons(body)
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0, "it does not answer"


def _reasons(body: bytes) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        return "it gives no reason"
    return json.dumps(told.get("reasons", told) if isinstance(told, dict) else told, ensure_ascii=False)
