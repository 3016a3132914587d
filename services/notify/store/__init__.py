"""Which tables does notify keep, and what is asked of them? Functions take a transaction or a connection."""
