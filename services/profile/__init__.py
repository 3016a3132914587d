"""Profile: which person does an event belong to, and what is known of that person?

owns       identifiers and customer records, traits, consents, suppressions, the timeline
consumes   identify: ingest.event-received.v1
           apply: profile.event-identified.v1, profile.command-issued.v1, rules.triggered.v1 (field setting),
           notify.response-received.v1
publishes  profile.command-issued.v1 (its API), profile.event-identified.v1, profile.event-resolved.v1,
           profile.updated.v1 (compacted)
tables     seen, seen_history, conflict, identifier, record, link, customer, timeline, command
"""
