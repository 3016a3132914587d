"""What does this process count and time? One registry per process, names of one form."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase

from libs.common.settings import VERSION

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
UNITS = frozenset(
    "total seconds bytes ratio info messages events rows units rules customers tasks requests "
    "connections number lag hops attempts entries krw usd".split()
)
# A label has few values and says nothing of a person.
FORBIDDEN_LABELS = frozenset({"customer", "customer_id", "phone", "email", "name", "address", "correlation", "token"})

_NAME = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")

M = TypeVar("M", bound=MetricWrapperBase)


class Metrics:
    """Made once in `app.py` and handed to whoever measures something.

    Asking twice for a name gives the same metric, so that each part may declare what it uses.
    """

    def __init__(self, service: str, *, version: str = VERSION, process: bool = True) -> None:
        self.registry = CollectorRegistry()
        self._prefix = f"dangol_{service.replace('-', '_')}_"
        self._made: dict[str, tuple[MetricWrapperBase, tuple[str, ...]]] = {}
        disable_created_metrics()  # type: ignore[no-untyped-call]
        if process:
            ProcessCollector(registry=self.registry)
        self.gauge("build_info", "Which version runs.", ["version"]).labels(version).set(1)

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        if not name.endswith("_total"):
            raise ValueError(f"counter {name!r}: the name of a counter ends in _total")
        return self._once(Counter, name, labels, lambda full: Counter(full, text, labels, registry=self.registry))

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return self._once(Gauge, name, labels, lambda full: Gauge(full, text, labels, registry=self.registry))

    def histogram(
        self, name: str, text: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS_BUCKETS
    ) -> Histogram:
        def make(full: str) -> Histogram:
            return Histogram(full, text, labels, registry=self.registry, buckets=tuple(buckets))

        return self._once(Histogram, name, labels, make)

    def render(self) -> bytes:
        return generate_latest(self.registry)

    def _once(self, kind: type[M], name: str, labels: Sequence[str], make: Callable[[str], M]) -> M:
        _check(name, labels)
        known = self._made.get(name)
        if known is None:
            made = make(self._prefix + name)
            self._made[name] = (made, tuple(labels))
            return made
        metric, known_labels = known
        if not isinstance(metric, kind) or known_labels != tuple(labels):
            raise ValueError(f"metric {name!r} exists already as another kind or with labels {known_labels}")
        return metric


def _check(name: str, labels: Sequence[str]) -> None:
    if not _NAME.match(name) or "_" not in name:
        raise ValueError(f"metric {name!r}: the form is <what>_<unit>, in lower case")
    if name.rsplit("_", 1)[1] not in UNITS:
        raise ValueError(f"metric {name!r}: the last word is a unit, one of {', '.join(sorted(UNITS))}")
    if refused := FORBIDDEN_LABELS.intersection(labels):
        raise ValueError(f"metric {name!r}: label {min(refused)!r} could name a person or grow without bound")
