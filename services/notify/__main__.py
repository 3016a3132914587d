"""How is the notify service started? By `python -m services.notify`."""

from libs.common.runtime import run
from services.notify.app import build
from services.notify.settings import Settings

if __name__ == "__main__":
    run("notify", Settings, build)
