"""Does Kafka have the topics of the catalogue? Run as a module, it makes those that are missing."""

import asyncio
import sys

from libs.common.errors import DangolError
from libs.common.kafka import ensure_topics
from libs.common.settings import CommonSettings, load


def main() -> int:
    settings = load(CommonSettings)
    try:
        made = ensure_topics(settings.kafka_bootstrap, prefix=settings.topic_prefix, partitions=settings.partitions)
        asyncio.run(made)
    except DangolError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
