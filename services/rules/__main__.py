"""`python -m services.rules` runs the service."""

from libs.common.runtime import run
from services.rules.app import build
from services.rules.settings import RulesSettings

if __name__ == "__main__":
    run("rules", RulesSettings, build)
