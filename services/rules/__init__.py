"""Who qualifies: rule documents, and the moments at which customers meet them.

owns       rule documents and their versions · what the engine remembers of each customer · waits (timers)
consumes   profile.event-resolved.v1
publishes  rules.triggered.v1 · rules.customer-erased.v1
tables     rule_state · trigger_log · rule_day, beside the worker's own and those of documents
"""
