"""The front door: accepts events from every channel and gives each one a verdict.

owns       doors (`POST /v1/events`, `POST /v1/hooks/{provider}/{source}`, `POST /v1/imports`), write keys,
           event types, mappings and endpoints of webhooks, imports and the sheets that are owed, what is refused
consumes   HTTP; ingest.event-rejected.v1, to keep what was refused
publishes  ingest.event-received.v1, ingest.event-rejected.v1
tables     write_key, write_key_secret, identity_secret, event_type, event_type_version, tracking_plan, source_mode,
           schema_violation, reject, reject_quota, hook, hook_secret, document, document_snapshot, document_change,
           import_file, import_chunk, import_reject, import_expected
"""
