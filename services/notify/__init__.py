"""Notify: does a message reach its customer, once, and does the answer come home?

owns      the ledger of messages, templates, the call-center queue, tracking links, suppressions from responses
consumes  profile.updated.v1, campaign.contact-requested.v1
publishes notify.response-received.v1, notify.message-settled.v1, notify.customer-erased.v1
tables    message, message_step, customer, suppression, response, task, document (kind template)
"""
