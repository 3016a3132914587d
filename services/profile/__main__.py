"""How is the profile service started? `python -m services.profile`."""

from libs.common import runtime
from services.profile.app import build
from services.profile.settings import ProfileSettings

if __name__ == "__main__":
    runtime.run("profile", ProfileSettings, build)
