"""How does Kafka start in half the time? A first run lays its classes out for all later ones."""

import shutil
import sys
from pathlib import Path

from deploy.local.broker import ARCHIVE, KafkaBroker
from deploy.local.failure import StackFailure
from deploy.local.ports import free_port


def archive_classes(libraries: Path, directory: Path) -> None:
    """Runs a broker once in `directory`, which is removed; Java writes the archive when the broker ends."""
    partial = libraries.parent / f"{ARCHIVE}.new"
    partial.unlink(missing_ok=True)
    options = [f"-XX:ArchiveClassesAtExit={partial}"]
    broker = KafkaBroker(directory, free_port(), libraries=libraries, java_options=options)
    try:
        broker.start()
    finally:
        broker.stop()
        shutil.rmtree(directory, ignore_errors=True)
    partial.replace(libraries.parent / ARCHIVE)


def main(arguments: list[str]) -> int:
    libraries, directory = arguments
    try:
        archive_classes(Path(libraries), Path(directory))
    except (StackFailure, OSError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
