"""What does `make reset` remove?"""

import shutil
import sys

from deploy.local import instance, places, postgres_binaries
from deploy.local.failure import StackFailure

_KEPT = {places.KAFKA_PROGRAM, places.RUN, places.LOCAL / "bootstrap.lock"}


def main() -> int:
    try:
        with instance.claim():
            instance.end_leftovers()
            shutil.rmtree(postgres_binaries.private_place(places.POSTGRES, "pg-data"), ignore_errors=True)
            for path in sorted(places.LOCAL.iterdir()):
                if path in _KEPT:
                    continue
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
    except (StackFailure, OSError) as failure:
        sys.stderr.write(f"error: {failure}\n")
        return 1
    sys.stdout.write("removed all data, keys and logs under .local; the fetched Kafka and .venv stay\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
