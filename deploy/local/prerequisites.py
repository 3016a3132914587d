"""Does this machine have what the stack needs? Each answer that is no says how to mend it."""

import re
import shutil
import subprocess

from deploy.local.failure import StackFailure
from deploy.local.settings import ROOT, java

JAVA_MAJOR_MIN = 17
_FRESH_MB = 2_500
_AGAIN_MB = 300


def require_disk(fresh: bool) -> None:
    needed = _FRESH_MB if fresh else _AGAIN_MB
    free = shutil.disk_usage(ROOT).free // 1_000_000
    if free < needed:
        raise StackFailure(f"only {free} MB of disk are free at {ROOT}, {needed} MB are needed: free some space")


def java_version() -> str:
    """The version line of a Java that is new enough."""
    remedy = "install a Java runtime, for example `apt install openjdk-17-jre-headless` or `brew install openjdk`"
    try:
        ran = subprocess.run([java(), "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        raise StackFailure(f"Java was not found, Kafka needs {JAVA_MAJOR_MIN} or later: {remedy}") from None
    told = ran.stderr + ran.stdout
    match = re.search(r'version "(\d+)', told)
    if ran.returncode != 0 or match is None:
        raise StackFailure(f"`{java()} -version` told no version ({told.strip()[:100]}): {remedy}")
    if int(match[1]) < JAVA_MAJOR_MIN:
        raise StackFailure(f"Java {match[1]} is too old, Kafka needs {JAVA_MAJOR_MIN} or later: {remedy}")
    return told.splitlines()[0].strip()


def require_maven() -> str:
    maven = shutil.which("mvn")
    if maven is None:
        raise StackFailure(
            "Maven was not found, it fetches Kafka: install it, for example `apt install maven` or"
            " `brew install maven`, or set DANGOL_KAFKA_BOOTSTRAP to a Kafka that runs already"
        )
    return maven
