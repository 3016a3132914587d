"""Do metrics have one form of name, one registry, and nothing of a person?"""

from __future__ import annotations

import pytest

from libs.common.metrics import Metrics


def made() -> Metrics:
    return Metrics("ingest", process=False)


def test_names_carry_product_and_service() -> None:
    metrics = made()
    metrics.counter("events_total", "Events.", ["result"]).labels("accepted").inc(2)
    metrics.gauge("outbox_oldest_seconds", "Age.").set(1.5)
    metrics.histogram("flush_seconds", "Flush.", buckets=(0.1, 1)).observe(0.5)
    text = metrics.render().decode()
    assert 'dangol_ingest_events_total{result="accepted"} 2.0' in text
    assert "dangol_ingest_outbox_oldest_seconds 1.5" in text
    assert 'dangol_ingest_flush_seconds_bucket{le="1.0"} 1.0' in text
    assert 'dangol_ingest_build_info{version="' in text
    assert "_created" not in text


def test_two_services_in_one_process_do_not_meet() -> None:
    first, second = made(), made()
    first.counter("events_total", "Events.").inc()
    assert b"events_total" not in second.render()


def test_asking_twice_gives_the_same_metric() -> None:
    metrics = made()
    assert metrics.counter("events_total", "Events.") is metrics.counter("events_total", "Events.")


def test_the_same_name_with_other_labels_is_refused() -> None:
    metrics = made()
    metrics.gauge("lag_messages", "Lag.", ["topic"])
    with pytest.raises(ValueError, match="exists already"):
        metrics.gauge("lag_messages", "Lag.", ["unit"])


@pytest.mark.parametrize("name", ["events", "Events_total", "events-total", "events_count_of_things", "total"])
def test_a_name_without_form_or_unit_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        made().gauge(name, "Something.")


def test_a_counter_ends_in_total() -> None:
    with pytest.raises(ValueError, match="_total"):
        made().counter("flush_seconds", "Flush.")


@pytest.mark.parametrize("label", ["customer_id", "phone", "email"])
def test_a_label_of_a_person_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="label"):
        made().counter("events_total", "Events.", [label])


def test_the_process_itself_is_measured() -> None:
    assert b"process_resident_memory_bytes" in Metrics("ingest").render()
