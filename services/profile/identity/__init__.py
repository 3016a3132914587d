"""Which person does an event belong to? Pure: identifiers and what is known of them in, records and links out.

A record is what we made when we met an identifier that nobody had; it is never moved or deleted by a merge, and an
identifier stays with its record. A person is a set of records that hang together by links, each with its evidence; its
id is that of its eldest record. An event is kept under the record of its strongest identifier; when its identifiers
belong to two persons, that is a link, unless a guard keeps them apart. A link can be taken back, and a person consists
of what still hangs together.
"""

from services.profile.identity.assigning import Named, assign
from services.profile.identity.directory import Born, Directory, Edge, Findings, Person
from services.profile.identity.joining import components
from services.profile.identity.ordering import obey
from services.profile.identity.rules import IdentifierType, IdentityRules, Table, kind_of

__all__ = [
    "Born",
    "Directory",
    "Edge",
    "Findings",
    "IdentifierType",
    "IdentityRules",
    "Named",
    "Person",
    "Table",
    "assign",
    "components",
    "kind_of",
    "obey",
]
