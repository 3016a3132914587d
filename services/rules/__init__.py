"""Who qualifies: rule documents, and the moments at which customers meet them.

owns       rule and segment documents · what the engine remembers of each customer · waits (timers)
consumes   profile.event-resolved.v1 · campaign.contacts-counted.v1
publishes  rules.triggered.v1 · rules.segment-moved.v1 · rules.customer-erased.v1
tables     rule_state · rule_form · trigger_log · rule_day · segment_member · segment_count · warming · warmed ·
           warming_event · warming_segment · fanout · fanout_cancelled, beside the worker's own and those of documents
"""
