"""What becomes of events that were refused? They are kept, listed, and examined again when somebody asks."""
