"""To what has a customer agreed, for what, by which channel, and what is owed to them for it?"""

from services.profile.person.consents.chapter import CONSENTS, all_consents, delivered
from services.profile.person.consents.held import Consents
from services.profile.person.consents.levels import PERMISSION

__all__ = ["CONSENTS", "PERMISSION", "Consents", "all_consents", "delivered"]
