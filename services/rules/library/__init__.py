"""Which moments need nobody to write a rule for them? Ready triggers, each a rule document with its tests.

A folder per subject, a file per trigger: what stands in it is a rule as anybody writes it.
"""

from services.rules.library.shelf import SUBJECTS, Trigger, library
from services.rules.library.traits import TRAITS

__all__ = ["SUBJECTS", "TRAITS", "Trigger", "library"]
