"""How do Kafka's jars get into .local/kafka?"""

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.local import steps
from deploy.local.broker import LIBRARIES
from deploy.local.failure import StackFailure
from deploy.local.places import KAFKA_PROGRAM, LOG
from deploy.local.settings import ROOT

_POM = ROOT / "deploy" / "kafka" / "pom.xml"
_STAMP = KAFKA_PROGRAM / "stamp"
_LOG = LOG / "setup-kafka.log"


def is_current(java_version: str) -> bool:
    return _STAMP.exists() and _STAMP.read_text() == _wanted(java_version)


async def install(maven: str, java_version: str) -> str:
    _LOG.unlink(missing_ok=True)
    _STAMP.unlink(missing_ok=True)
    fresh = LIBRARIES.with_name("lib.new")
    shutil.rmtree(fresh, ignore_errors=True)
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fresh}"]
    try:
        await steps.command([maven, "-B", "-ntp", "-f", str(_POM), *goal], _LOG)
    except StackFailure as failure:
        raise StackFailure(
            f"Kafka could not be fetched: {failure}; check the network and Maven's settings,"
            " then run the same command again"
        ) from None
    shutil.rmtree(LIBRARIES, ignore_errors=True)
    fresh.rename(LIBRARIES)
    archived = await _archive()
    _STAMP.write_text(_wanted(java_version))
    return f"{len(list(LIBRARIES.glob('*.jar')))} jars{archived}"


async def _archive() -> str:
    """Only for speed, so a Java that cannot do it is no failure."""
    with tempfile.TemporaryDirectory(prefix="dangol-") as scratch:
        module = [sys.executable, "-m", "deploy.local.class_archive", str(LIBRARIES), f"{scratch}/kafka"]
        try:
            await steps.command(module, _LOG, cwd=ROOT)
        except StackFailure:
            return ", starts will be slower: no class archive"
    return ""


def _wanted(java_version: str) -> str:
    return hashlib.sha256(_POM.read_bytes() + java_version.encode() + str(Path(LIBRARIES)).encode()).hexdigest()
