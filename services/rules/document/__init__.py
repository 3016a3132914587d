"""What does marketing write, and is it well written? The language, its validation, its cautions and its own tests."""
