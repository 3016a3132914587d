"""One unit of a worker: what handlers see of it, and the protocol that it follows."""

from libs.common.unit.runner import UnitRunner
from libs.common.unit.shapes import Floor, Handler, Input, Message, TimerHandler, Tombstone, UnitTx, WorkerSpec

__all__ = ["Floor", "Handler", "Input", "Message", "TimerHandler", "Tombstone", "UnitRunner", "UnitTx", "WorkerSpec"]
