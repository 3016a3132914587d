"""Who is in which segment, as a list that can be read and counted? What the engine judges is in `engine.segments`."""
