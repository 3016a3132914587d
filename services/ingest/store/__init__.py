"""What does ingest keep, and how is it asked for? One file for each subject; functions that take a connection."""
