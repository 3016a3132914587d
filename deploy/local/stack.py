"""In which order do the parts of the local stack start and end?"""

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploy.local import addresses, children, places, readiness, steps, variables, welcome
from deploy.local.broker import KafkaBroker
from deploy.local.credentials import ensure_credentials, ensure_secrets, ensure_service_token
from deploy.local.failure import StackFailure
from deploy.local.keeper import Keeper, end_all
from deploy.local.postgres import PostgresServer
from deploy.local.settings import ROOT, variable

_READY_SECONDS_MAX = 90.0
_SERVICE_STOP_SECONDS_MAX = 10.0
_SERVER_STOP_SECONDS_MAX = 20.0


class Stack:
    """Everything that one `make run` started, and nothing else."""

    def __init__(self) -> None:
        self.servers: list[Keeper] = []
        self.services: list[Keeper] = []
        self.providers: list[Keeper] = []
        self.shop: list[Keeper] = []
        self._watches: list[asyncio.Task[None]] = []
        self._given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._environment: dict[str, str] = {}

    async def start(self) -> None:
        began = time.monotonic()
        data_exists = (places.POSTGRES / "data" / "PG_VERSION").exists()
        secrets = ensure_secrets(places.SECRETS, database_exists=data_exists)
        credentials = ensure_credentials(places.CREDENTIALS, secrets.token_secret)
        ensure_service_token(places.RULES_TOKEN, secrets.token_secret, "rules", "marketer")
        steps.write("Starting")
        database_url = variable("DANGOL_DATABASE_URL")
        kafka_bootstrap = variable("DANGOL_KAFKA_BOOTSTRAP")
        kafka = None if kafka_bootstrap else self._launch_kafka()
        postgres = None if database_url else self._launch_postgres(secrets.postgres_password)
        self._environment = variables.of_services(
            database_url or (postgres.url if postgres else ""),
            kafka_bootstrap or (kafka.bootstrap if kafka else ""),
            secrets,
        )
        await asyncio.gather(self._prepare_database(postgres), self._prepare_kafka(kafka))
        await self._start_services()
        sys.stdout.write(welcome.text(credentials, time.monotonic() - began))
        sys.stdout.flush()

    async def until_given_up(self) -> None:
        """Waits for ever; a StackFailure when a part keeps dying."""
        await asyncio.shield(self._given_up)

    async def stop(self, hurry: asyncio.Event) -> None:
        """The other way round: first who makes work, then who does it, then what it stands on."""
        for watch in self._watches:
            watch.cancel()
        await end_all(self.shop, _SERVICE_STOP_SECONDS_MAX, hurry)
        await end_all(self.services, _SERVICE_STOP_SECONDS_MAX, hurry)
        await end_all(self.providers, _SERVICE_STOP_SECONDS_MAX, hurry)
        await end_all(self.servers, _SERVER_STOP_SECONDS_MAX, hurry)

    def _launch_kafka(self) -> KafkaBroker:
        kafka = KafkaBroker(places.KAFKA, addresses.KAFKA.port)
        kafka.log = _log("kafka")
        self._keep(self.servers, Keeper("kafka", kafka.launch, kafka.log))
        return kafka

    def _launch_postgres(self, password: str) -> PostgresServer:
        postgres = PostgresServer(places.POSTGRES, addresses.POSTGRES.port, password=password)
        postgres.log = _log("postgres")
        keeper = Keeper("postgres", postgres.launch, postgres.log, stop_signal=signal.SIGINT)
        self._keep(self.servers, keeper)
        return postgres

    async def _prepare_database(self, postgres: PostgresServer | None) -> None:
        if postgres is not None:
            doing = f"waits for it to take connections on port {postgres.port}"
            await steps.told("postgres", doing, _in_thread(postgres.wait_ready))
        await steps.told("migrations", "waits for the databases to be up to date", self._module("migrations"))

    async def _prepare_kafka(self, kafka: KafkaBroker | None) -> None:
        if kafka is not None:
            doing = f"waits for it to answer on port {kafka.port}"
            await steps.told("kafka", doing, _in_thread(kafka.wait_ready))
        await steps.told("topics", "waits for the topics of the catalogue", self._module("topics"))

    async def _module(self, name: str) -> str:
        module = {"migrations": "libs.common.migrations", "topics": "deploy.local.topics_setup"}[name]
        log = places.LOG / f"{name}.log"
        log.unlink(missing_ok=True)
        try:
            await steps.command([sys.executable, "-m", module], log, env=self._environment, cwd=ROOT)
        except StackFailure as failure:
            raise StackFailure(f"the {name} could not be brought up to date: {failure}") from None
        return "ok"

    async def _start_services(self) -> None:
        self._run(self.providers, "providers", "deploy.local.providers")
        for service in addresses.SERVICES:
            self._run(self.services, service.name, f"services.{service.name}")
        ready = [
            steps.told(
                service.name,
                f"waits for {service.url}/readyz",
                readiness.until_ready(service.port, service.name, _READY_SECONDS_MAX),
            )
            for service in addresses.SERVICES
        ]
        listening = [
            readiness.until_listening(address.port, address.name, _READY_SECONDS_MAX)
            for address in (addresses.SMTP, addresses.GATEWAY)
        ]
        await asyncio.gather(*ready, *listening)
        self._run(self.shop, "demo shop", "deploy.demo", may_finish=True)

    def _run(self, group: list[Keeper], name: str, module: str, *, may_finish: bool = False) -> None:
        log = _log(name.replace(" ", "-"))

        def launch() -> children.Child:
            return children.spawn([sys.executable, "-m", module], log, env=self._environment, cwd=ROOT)

        self._keep(group, Keeper(name, launch, log, may_finish=may_finish))

    def _keep(self, group: list[Keeper], keeper: Keeper) -> None:
        group.append(keeper)
        keeper.start()
        watch = asyncio.get_running_loop().create_task(keeper.watch())
        watch.add_done_callback(self._note_end)
        self._watches.append(watch)

    def _note_end(self, watch: asyncio.Task[None]) -> None:
        error = None if watch.cancelled() else watch.exception()
        if error is not None and not self._given_up.done():
            self._given_up.set_exception(error)


async def _in_thread(wait: Callable[[], None]) -> str:
    await asyncio.to_thread(wait)
    return "ok"


def _log(name: str) -> Path:
    """Each run has a log of its own, and the one before stays readable."""
    log = places.LOG / f"{name}.log"
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
    return log
