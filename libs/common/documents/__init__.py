"""Which rules, campaigns and templates are there, in which version, and which of them count now?"""

from libs.common.documents.difference import diff
from libs.common.documents.reading import (
    changes,
    get,
    load_snapshot,
    page,
    snapshot_number,
    versions,
)
from libs.common.documents.shapes import (
    ActiveDocument,
    Connection,
    DocumentChange,
    DocumentVersion,
    ListedDocument,
    Status,
)
from libs.common.documents.tables import GUARD_SQL, REVIEW_SQL, SQL
from libs.common.documents.watcher import Snapshot, SnapshotWatcher
from libs.common.documents.writing import activate, create_version, pause, resume, retire

__all__ = [
    "GUARD_SQL",
    "REVIEW_SQL",
    "SQL",
    "ActiveDocument",
    "Connection",
    "DocumentChange",
    "DocumentVersion",
    "ListedDocument",
    "Snapshot",
    "SnapshotWatcher",
    "Status",
    "activate",
    "changes",
    "create_version",
    "diff",
    "get",
    "load_snapshot",
    "page",
    "pause",
    "resume",
    "retire",
    "snapshot_number",
    "versions",
]
