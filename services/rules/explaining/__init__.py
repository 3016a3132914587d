"""Why did a rule fire, or why not yet? A customer's progress, and a trigger's grounds, in plain words. Pure."""
