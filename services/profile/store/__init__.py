"""Which tables does profile have, and how are they read and written? No decisions; a file per subject."""
