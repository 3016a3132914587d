"""How is a one-node Kafka of our own started and stopped?"""

import contextlib
import secrets
import signal
import socket
import struct
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from deploy.local import children, settings
from deploy.local.failure import StackFailure
from deploy.local.ports import LOOPBACK, free_port, require_free

LIBRARIES = settings.ROOT / ".local" / "kafka" / "lib"
# The classes of a start, laid out for the next one: it halves the time that a start takes.
ARCHIVE = "classes.jsa"
_START_SECONDS_MAX = 90.0
_STOP_SECONDS_MAX = 20.0
_NODE_ID = 1
_METADATA_KEY = 3
_FIXED = {
    "node.id": str(_NODE_ID),
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # There is one node, so there is one copy of everything.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    # A laptop's share of threads and memory.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.index.size.max.bytes": "1048576",
    "log.segment.delete.delay.ms": "1000",
    # The controller takes a restarted broker back only when its earlier self has fallen silent for this long.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "300",
}


class KafkaBroker:
    """One broker in KRaft mode in `directory`, on the loopback `port`; can be started again on both.

    `heap_mb` is the Java heap; the process takes about 150 MB more.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        heap_mb: int = 400,
        *,
        libraries: Path = LIBRARIES,
        settings: Mapping[str, str] | None = None,
        java_options: Sequence[str] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.port = port
        self.heap_mb = heap_mb
        self.log = self.directory / "kafka.log"
        self._libraries = libraries
        self._settings = dict(settings or {})
        self._more_java_options = java_options
        self._child: children.Child | None = None

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def start(self) -> None:
        """Blocks until the broker is ready to take topics and messages."""
        self.launch()
        self.wait_ready()

    def launch(self) -> children.Child:
        """Starts the process and returns at once, so that others can start meanwhile."""
        jars = sorted(self._libraries.glob("*.jar"))
        if not jars:
            raise StackFailure(f"Kafka's jars are not in {self._libraries}: run `make setup`")
        require_free(self.port, "Kafka", "stop what listens there or choose another port")
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        _format(data)
        properties = self.directory / "server.properties"
        properties.write_text(self._properties(data))
        class_path = ":".join(map(str, jars))
        command = [settings.java(), *self._java_options(), "-cp", class_path, "kafka.Kafka", str(properties)]
        self._child = children.spawn(command, self.log, death_signal=signal.SIGTERM)
        return self._child

    def wait_ready(self) -> None:
        child = self._child
        if child is None:
            raise StackFailure("Kafka was not launched")
        children.wait_until(
            lambda: _knows_a_broker(self.port), child, self.log, "Kafka", seconds_max=_START_SECONDS_MAX
        )

    def stop(self) -> None:
        children.end(self._child, signal.SIGTERM, _STOP_SECONDS_MAX)
        self._child = None

    def kill(self) -> None:
        """kill -9, as a crash would."""
        if self._child is not None:
            children.kill_group(self._child)
        self._child = None

    def __enter__(self) -> "KafkaBroker":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _properties(self, data: Path) -> str:
        controller = free_port()
        wanted = {
            **_FIXED,
            "controller.quorum.voters": f"{_NODE_ID}@{LOOPBACK}:{controller}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "log.dirs": str(data),
            **self._settings,
        }
        return "".join(f"{name}={value}\n" for name, value in wanted.items())

    def _java_options(self) -> list[str]:
        return [
            f"-Xmx{self.heap_mb}m",
            f"-Xms{min(128, self.heap_mb)}m",
            # One user on one machine: a quick start and little memory count more than the last percent.
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            *self._class_archive(),
            "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        ]

    def _class_archive(self) -> Sequence[str]:
        if self._more_java_options is not None:
            return self._more_java_options
        archive = self._libraries.parent / ARCHIVE
        return [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"] if archive.exists() else []


def _format(data: Path) -> None:
    """What `kafka-storage format` would write for one node, without starting a Java machine for it."""
    properties = data / "meta.properties"
    if properties.exists():
        return
    partial = properties.with_suffix(".new")
    partial.write_text(f"version=1\ncluster.id={_random_id()}\nnode.id={_NODE_ID}\ndirectory.id={_random_id()}\n")
    partial.rename(properties)


def _random_id() -> str:
    """Kafka's own form of an id: 16 random bytes in URL-safe base 64, not starting with a dash."""
    while (text := urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text


def _knows_a_broker(port: int) -> bool:
    """Asks for the cluster's metadata as a client would: a broker that is still fenced is not in it."""
    header = struct.pack(">hhih", _METADATA_KEY, 1, 1, -1)
    body = header + struct.pack(">i", 0)
    with contextlib.suppress(OSError, struct.error):
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.recv(12, socket.MSG_WAITALL)
        _, _, brokers = struct.unpack(">iii", answer)
        return bool(brokers > 0)
    return False
