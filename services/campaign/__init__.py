"""Whether, what, when and by which channel: one decision per trigger and campaign, with the whole way to it.

owns       decisions and their traces · contacts counted against caps · campaign documents · kill switches
consumes   profile.updated.v1 · notify.message-settled.v1 · rules.triggered.v1
publishes  campaign.decided.v1 (every outcome) · campaign.contact-requested.v1 · campaign.customer-erased.v1
tables     customer · decision · contact · switch, beside the worker's own and those of documents
"""
