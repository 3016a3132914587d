"""How is the ingest service started? `python -m services.ingest`."""

from libs.common import runtime
from services.ingest.app import build
from services.ingest.settings import IngestSettings

if __name__ == "__main__":
    runtime.run("ingest", IngestSettings, build)
