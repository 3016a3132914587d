"""How does a test get the whole product running, and break parts of it? Real processes on free ports."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import asyncpg

from deploy.local import children
from deploy.local.credentials import ensure_credentials, ensure_secrets, ensure_service_token
from deploy.local.ports import LOOPBACK, answers, free_port
from deploy.local.settings import ROOT, environment

SERVICES = ("ingest", "profile", "rules", "campaign", "notify")
PROVIDERS = "providers"
_READY_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 12.0
_POLL_SECONDS = 0.05


class Stack:
    """The five services and the local providers, on servers that run already.

    Everything is blocking, for fixtures and tests alike. A process is called like its service; `rules-2` is a
    second instance of rules, on a port of its own. Processes die with the test process when they were started
    from its main thread.
    """

    def __init__(
        self,
        directory: Path,
        *,
        database_url: str,
        kafka_bootstrap: str,
        partitions: int = 4,
        variables: dict[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.database_url = database_url
        self.kafka_bootstrap = kafka_bootstrap
        name = secrets.token_hex(5)
        self.topic_prefix = f"s{name}."
        self.database_prefix = f"s{name}_"
        self.partitions = partitions
        self.credentials_file = directory / "credentials.json"
        self.ledger_file = directory / "ledger.jsonl"
        self._secrets = ensure_secrets(directory / "secrets.json", database_exists=False)
        self._credentials = ensure_credentials(self.credentials_file, self._secrets.token_secret)
        self._rules_token = directory / "rules.token"
        ensure_service_token(self._rules_token, self._secrets.token_secret, "rules", "marketer")
        self._ports = {service: free_port() for service in (*SERVICES, "smtp", "gateway")}
        self._extra = variables or {}
        self._children: dict[str, children.Child] = {}

    @property
    def tokens(self) -> dict[str, str]:
        """By role: viewer, marketer, approver, operator, agent, privacy, admin."""
        return self._credentials.tokens

    @property
    def write_keys(self) -> dict[str, str]:
        """By channel: pos, web, call-center."""
        return self._credentials.write_keys

    @property
    def urls(self) -> dict[str, str]:
        """By process name; `gateway` is the local provider of SMS and webhooks."""
        return {name: f"http://{LOOPBACK}:{port}" for name, port in self._ports.items() if name != "smtp"}

    def pid(self, name: str) -> int | None:
        child = self._children.get(name)
        return child.pid if child is not None and child.poll() is None else None

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def database_url_of(self, service: str) -> str:
        return self.database_url.rpartition("/")[0] + f"/{self.database_prefix}{service}"

    def variables(self, name: str = "") -> dict[str, str]:
        """What a process is told; also what a tool (replayer, demo, explain) needs to find this stack."""
        own = {
            "DANGOL_DATABASE_URL": self.database_url,
            "DANGOL_DATABASE_PREFIX": self.database_prefix,
            "DANGOL_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "DANGOL_TOPIC_PREFIX": self.topic_prefix,
            "DANGOL_PARTITIONS": str(self.partitions),
            "DANGOL_TOKEN_SECRET": self._secrets.token_secret,
            "DANGOL_RECEIPT_SECRET": self._secrets.receipt_secret,
            "DANGOL_WRITE_KEYS_FILE": str(self.credentials_file),
            "DANGOL_CREDENTIALS_FILE": str(self.credentials_file),
            "DANGOL_DEMO": "1",
            "DANGOL_PUBLIC_URL": self.urls["notify"],
            "DANGOL_NOTIFY_URL": self.urls["notify"],
            "DANGOL_DEMO_SMTP_PORT": str(self._ports["smtp"]),
            "DANGOL_DEMO_GATEWAY_PORT": str(self._ports["gateway"]),
            "DANGOL_CAMPAIGN_URL": self.urls["campaign"],
            "DANGOL_CAMPAIGN_TOKEN_FILE": str(self._rules_token),
            "DANGOL_PROVIDER_LEDGER": str(self.ledger_file),
            "MALLOC_ARENA_MAX": "2",
        }
        ports = {f"DANGOL_{service.upper()}_PORT": str(self._ports[service]) for service in SERVICES}
        service, _, instance = name.partition("-")
        if instance:
            ports[f"DANGOL_{service.upper()}_PORT"] = str(self._ports[name])
        return {**environment(), **own, **ports, **self._extra}

    def prepare(self) -> None:
        """Databases, tables and topics; again on the same stack it changes nothing."""
        modules = {"migrations": "libs.common.migrations", "topics": "deploy.local.topics_setup"}
        running = {name: self._spawn(name, module, self.variables()) for name, module in modules.items()}
        for name, child in running.items():
            if code := child.wait(_READY_SECONDS_MAX):
                words = children.last_words(self.log(name), 12, "\n")
                raise AssertionError(f"{name} ended with code {code}:\n{words}")

    def start(self) -> None:
        """Everything, until it is ready."""
        self.prepare()
        self.launch(PROVIDERS, *SERVICES)
        self.wait_ready(PROVIDERS, *SERVICES)

    def launch(self, *names: str, **variables: str) -> None:
        """Starts processes and returns at once; `variables` are added to their environment."""
        for name in names:
            if self.pid(name) is not None:
                raise AssertionError(f"{name} runs already")
            module = "deploy.local.providers" if name == PROVIDERS else f"services.{name.partition('-')[0]}"
            if name not in self._ports and name != PROVIDERS:
                self._ports[name] = free_port()
            self._children[name] = self._spawn(name, module, {**self.variables(name), **variables})

    def wait_ready(self, *names: str, seconds_max: float = _READY_SECONDS_MAX) -> None:
        """Blocks until each answers 200 to /readyz; a process that ends meanwhile is an AssertionError."""
        deadline = time.monotonic() + seconds_max
        for name in names:
            while (reason := self._unready(name)) is not None:
                if self.pid(name) is None or time.monotonic() > deadline:
                    words = children.last_words(self.log(name), 12, "\n")
                    raise AssertionError(f"{name} is not ready: {reason}\n{words}")
                time.sleep(_POLL_SECONDS)

    def restart(self, *names: str) -> None:
        """SIGTERM, and started again; ready when it returns."""
        self.stop(*names)
        self.launch(*names)
        self.wait_ready(*names)

    def stop(self, *names: str) -> None:
        """SIGTERM to these processes (all when none is named), together, and waits for their end."""
        stopped = names or tuple(self._children)
        for name in stopped:
            self.signal(name, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS_MAX
        for name in stopped:
            child = self._children.pop(name, None)
            while child is not None and child.poll() is None and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS / 5)
            if child is not None:
                children.kill_group(child)

    def kill(self, *names: str) -> None:
        """SIGKILL (all when none is named); what the processes held stays as it was."""
        for name in names or tuple(self._children):
            if (child := self._children.pop(name, None)) is not None:
                children.kill_group(child)

    def signal(self, name: str, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT freeze a process and wake it up."""
        child = self._children.get(name)
        if child is not None and child.poll() is None:
            child.send_signal(number)

    def wait_dead(self, name: str, seconds_max: float = 30.0) -> int:
        """The exit code of a process that is expected to die by itself (negative: by that signal)."""
        return self._children.pop(name).wait(seconds_max)

    def discard(self) -> None:
        """Kills what still runs and drops the databases."""
        self.kill()
        asyncio.run(self._drop_databases())

    def _spawn(self, name: str, module: str, variables: dict[str, str]) -> children.Child:
        command: Sequence[str] = [sys.executable, "-m", module]
        return children.spawn(command, self.log(name), env=variables, cwd=ROOT)

    def _unready(self, name: str) -> str | None:
        if name == PROVIDERS:
            silent = [each for each in ("smtp", "gateway") if not answers(self._ports[each])]
            return f"{silent[0]} does not answer" if silent else None
        connection = HTTPConnection(LOOPBACK, self._ports[name], timeout=3)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            body = answer.read()
            return None if answer.status == 200 else json.dumps(json.loads(body).get("reasons"))
        except (OSError, HTTPException, ValueError):
            return "it does not answer"
        finally:
            connection.close()

    async def _drop_databases(self) -> None:
        connection = await asyncpg.connect(self.database_url)
        try:
            for service in SERVICES:
                await connection.execute(f'DROP DATABASE IF EXISTS "{self.database_prefix}{service}" WITH (FORCE)')
        finally:
            await connection.close()
