"""Profile: which person does an event belong to, and what is known of that person?

owns       identifiers and customer records, traits, consents, suppressions, the timeline
consumes   identify: ingest.event-received.v1, profile.link-ordered.v1
           apply: profile.event-identified.v1, profile.command-issued.v1, rules.triggered.v1 (field setting),
           notify.response-received.v1, and what others tell of an erasure: rules.customer-erased.v1,
           campaign.customer-erased.v1, notify.customer-erased.v1
publishes  profile.command-issued.v1, profile.link-ordered.v1 (its API, the finder of duplicates),
           profile.event-identified.v1,
           profile.event-resolved.v1,
           profile.updated.v1 (compacted)
tables     seen, seen_history, conflict, identifier, record, link, kept_apart, customer, timeline, command,
           erasure and its parts, notes and marks, privacy_request, audit,
           portrait, portrait_key, portrait_term, duplicate_look, duplicate_pair, duplicate_weights, duplicate_job
"""
