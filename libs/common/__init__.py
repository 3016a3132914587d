"""The shared floor: it knows nothing of marketing but the shape of its events."""
