"""The front door: accepts events from every channel and gives each one a verdict.

owns       doors (`POST /v1/events`), write keys, event types, what is refused
consumes   HTTP alone
publishes  ingest.event-received.v1, ingest.event-rejected.v1
tables     write_key, event_type
"""
