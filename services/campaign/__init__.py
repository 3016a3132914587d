"""Whether, what, when and by which channel: one decision per trigger and campaign, with the whole way to it.

owns       decisions and their traces · contacts counted against caps · campaign documents · the policy table
           kill switches
consumes   profile.updated.v1 · notify.message-settled.v1 · notify.response-received.v1 · rules.triggered.v1
           profile.event-resolved.v1
publishes  campaign.decided.v1 (every outcome) · campaign.contact-requested.v1 · campaign.contacts-counted.v1
           campaign.customer-erased.v1
tables     customer · decision · contact · switch, beside the worker's own and those of documents
"""
