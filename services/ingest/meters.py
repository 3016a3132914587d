"""What does the door count? Sums in plain numbers, which become metrics when somebody asks for them.

Each of the client library's counters takes a lock; at tens of thousands of requests a second that is felt.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.common.metrics import SECONDS_BUCKETS, Metrics


class Meters(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self.seconds = Seconds()
        self.read_bytes = 0
        self.accepted: Counter[str] = Counter()
        self.flagged: Counter[str] = Counter()
        # Asked before the counters below, because it is registered first: they are brought up to date then.
        metrics.registry.register(self)
        self._accepted = metrics.counter("accepted_events_total", "Events accepted and acknowledged.", ["channel"])
        self._read = metrics.counter("read_body_bytes_total", "Bytes of bodies, inflated.")
        self._rejected = metrics.counter("rejected_events_total", "Events refused.", ["channel", "reason"])
        self._failed = metrics.counter("failed_events_total", "Good events not taken: Kafka is away.", ["channel"])
        self._refused = metrics.counter("refused_requests_total", "Requests refused as a whole.", ["status"])
        self._flagged = metrics.counter(
            "flagged_events_total", "Events accepted of those behind which is no customer.", ["traffic"]
        )
        self._limited = metrics.counter(
            "limited_requests_total", "Requests sent away because their key had used up its share.", ["key_id"]
        )
        self._unkept = metrics.counter("unkept_rejected_events_total", "Refused events that could not be kept.")

    def collect(self) -> Iterator[Metric]:
        accepted, self.accepted = self.accepted, Counter()
        for channel, number in accepted.items():
            self._accepted.labels(channel).inc(number)
        flagged, self.flagged = self.flagged, Counter()
        for traffic, number in flagged.items():
            self._flagged.labels(traffic).inc(number)
        size, self.read_bytes = self.read_bytes, 0
        self._read.inc(size)
        yield self.seconds.family("dangol_ingest_request_seconds", "Time to answer a request at the event door.")

    def rejected(self, channel: str, reason: str) -> None:
        self._rejected.labels(channel, reason).inc()

    def limited(self, key_id: str) -> None:
        self._limited.labels(key_id).inc()

    def failed(self, channel: str, number: int) -> None:
        self._failed.labels(channel).inc(number)

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def unkept(self, number: int) -> None:
        self._unkept.inc(number)


class Seconds:
    """A histogram of durations."""

    def __init__(self) -> None:
        self._numbers = [0] * (len(SECONDS_BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._numbers[bisect_left(SECONDS_BUCKETS, seconds)] += 1
        self._sum += seconds

    def family(self, name: str, text: str) -> HistogramMetricFamily:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, number in zip((*map(str, SECONDS_BUCKETS), "+Inf"), self._numbers, strict=True):
            total += number
            buckets.append((bound, total))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self._sum)
