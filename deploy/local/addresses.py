"""Where does each part of the local stack listen?"""

from dataclasses import dataclass

from deploy.local.failure import StackFailure
from deploy.local.ports import LOOPBACK, is_free
from deploy.local.settings import variable


@dataclass(frozen=True)
class Address:
    """`variable` is the environment variable that moves the port."""

    name: str
    variable: str
    default: int

    @property
    def port(self) -> int:
        told = variable(self.variable)
        if told is None:
            return self.default
        if not told.isdigit() or not 0 < int(told) < 65536:
            raise StackFailure(f"{self.variable}={told} is not a port: set a number from 1 to 65535")
        return int(told)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


SERVICES = (
    Address("ingest", "DANGOL_INGEST_PORT", 8001),
    Address("profile", "DANGOL_PROFILE_PORT", 8002),
    Address("rules", "DANGOL_RULES_PORT", 8003),
    Address("campaign", "DANGOL_CAMPAIGN_PORT", 8004),
    Address("notify", "DANGOL_NOTIFY_PORT", 8005),
)
INGEST, CAMPAIGN, NOTIFY = SERVICES[0], SERVICES[3], SERVICES[-1]
POSTGRES = Address("postgres", "DANGOL_POSTGRES_PORT", 15432)
KAFKA = Address("kafka", "DANGOL_KAFKA_PORT", 19092)
SMTP = Address("demo mail server", "DANGOL_DEMO_SMTP_PORT", 18025)
GATEWAY = Address("demo gateway", "DANGOL_DEMO_GATEWAY_PORT", 18080)


def our_own() -> list[Address]:
    """Every address that `make run` listens on itself: a server that is somebody else's is not among them."""
    servers = []
    if variable("DANGOL_DATABASE_URL") is None:
        servers.append(POSTGRES)
    if variable("DANGOL_KAFKA_BOOTSTRAP") is None:
        servers.append(KAFKA)
    return [*servers, *SERVICES, SMTP, GATEWAY]


def require_all_free() -> None:
    taken = [address for address in our_own() if not is_free(address.port)]
    if taken:
        ports = ", ".join(f"{address.port} ({address.name})" for address in taken)
        moves = " ".join(f"{address.variable}=<port>" for address in taken)
        word = "port is" if len(taken) == 1 else "ports are"
        raise StackFailure(f"{word} taken: {ports}. Stop what listens there, or move ours: {moves} make run")
