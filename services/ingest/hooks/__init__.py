"""Which providers send us webhooks, and what do theirs mean? Endpoints that administrators make, and their mappings."""
