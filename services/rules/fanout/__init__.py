"""How does an event without a person reach those whom it concerns: begun with the event, worked off page by page."""
