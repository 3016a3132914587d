"""Which moments need nobody to write a rule for them? Ready triggers, each a rule document with its tests.

A folder per subject, a file per trigger: what stands in it is a rule as anybody writes it. The segments that they
name lie beside them, as they do where rules are kept as files.
"""

from services.rules.library.shelf import SUBJECTS, ReadySegment, Trigger, library, ready_segments
from services.rules.library.traits import TRAITS

__all__ = ["SUBJECTS", "TRAITS", "ReadySegment", "Trigger", "library", "ready_segments"]
