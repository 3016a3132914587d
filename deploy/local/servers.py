"""How does a test or a benchmark get a PostgreSQL and a Kafka of its own? Run as a module."""

import argparse
import json
import signal
import sys
from pathlib import Path

from deploy.local.broker import KafkaBroker
from deploy.local.failure import StackFailure
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    postgres = PostgresServer(
        options.directory / "postgres", options.postgres_port or free_port(), durable=not options.throwaway
    )
    kafka = KafkaBroker(options.directory / "kafka", options.kafka_port or free_port(), options.kafka_heap_mb)
    try:
        _serve(postgres, kafka)
    except StackFailure as failure:
        sys.stderr.write(f"servers: {failure}\n")
        return 1
    finally:
        if options.throwaway:
            kafka.kill()
        kafka.stop()
        postgres.stop(immediate=options.throwaway)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.servers", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="where data and logs go")
    parser.add_argument("--postgres-port", type=int, default=0, help="a free one when left out")
    parser.add_argument("--kafka-port", type=int, default=0, help="a free one when left out")
    parser.add_argument("--kafka-heap-mb", type=int, default=400)
    parser.add_argument("--throwaway", action="store_true", help="no fsync, and no care taken at the end")
    return parser


def _serve(postgres: PostgresServer, kafka: KafkaBroker) -> None:
    ends = {signal.SIGINT, signal.SIGTERM}
    for number in ends:
        signal.signal(number, _interrupt)
    try:
        kafka.launch()
        postgres.start()
        kafka.wait_ready()
        ready = {"database_url": postgres.url, "kafka_bootstrap": kafka.bootstrap}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        while True:
            signal.pause()
    except KeyboardInterrupt:
        # From here on the end is under way, and a second Ctrl-C must not leave a server behind.
        for number in ends:
            signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
