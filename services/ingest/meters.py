"""What does the door count? Declared once; the children that every request touches are kept at hand."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from libs.common.metrics import Metrics


class Meters:
    def __init__(self, metrics: Metrics) -> None:
        self._accepted = metrics.counter("accepted_events_total", "Events accepted and acknowledged.", ["channel"])
        self._rejected = metrics.counter("rejected_events_total", "Events refused.", ["channel", "reason"])
        self._failed = metrics.counter("failed_events_total", "Good events not taken: Kafka is away.", ["channel"])
        self._refused = metrics.counter("refused_requests_total", "Requests refused as a whole.", ["status"])
        self._unkept = metrics.counter("unkept_rejected_events_total", "Refused events that could not be kept.")
        self._read = metrics.counter("read_body_bytes_total", "Bytes of bodies, inflated.")
        self._seconds = metrics.histogram("request_seconds", "Time to answer a request at the event door.")
        self._accepted_by: dict[str, Counter] = {}

    @property
    def seconds(self) -> Histogram:
        return self._seconds

    def accepted(self, channel: str, number: int) -> None:
        child = self._accepted_by.get(channel)
        if child is None:
            child = self._accepted_by[channel] = self._accepted.labels(channel)
        child.inc(number)

    def rejected(self, channel: str, reason: str) -> None:
        self._rejected.labels(channel, reason).inc()

    def failed(self, channel: str, number: int) -> None:
        self._failed.labels(channel).inc(number)

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def unkept(self, number: int) -> None:
        self._unkept.inc(number)

    def read(self, size: int) -> None:
        self._read.inc(size)
