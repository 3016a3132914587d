"""Points: a ledger that is only appended to, lots that grow old, and what happens when there is not enough."""

from services.profile.points.asking import TYPES, entry_id, entry_of
from services.profile.points.book import Book, Entry, Known, Lot, Open, Posting
from services.profile.points.ledger import expire, play

__all__ = ["TYPES", "Book", "Entry", "Known", "Lot", "Open", "Posting", "entry_id", "entry_of", "expire", "play"]
