"""How does the API's description speak of the door for files, which FastAPI never sees?"""

from __future__ import annotations

from typing import Any, Final

from services.ingest.doors.imports import BELOW, PATH
from services.ingest.imports import protocol
from services.ingest.imports.order import NAMES

_PLACE: Final = BELOW + "{import_id}"
_TEXT: Final = """Sends a whole file, in one of two ways that come to the same.

**In one shot**: the file is the body, and the query says what it is. It is stored while it streams in, and gone through
afterwards; `202` names the import. If the upload breaks off, `HEAD` and `PATCH` go on with it.

    curl -X POST -T sales.csv -H "X-Write-Key: $KEY" -H "Content-Type: text/csv" \\
         "$URL/v1/imports?source=store-031/pos-2&branch=gangnam&sheet_date=2026-11-21&lines=812&amount=KRW:9120000"

**As a resumable upload** (tus 1.0.0, for which there are clients in every language): `POST` with `Upload-Length` and
`Upload-Metadata` of the same names makes the import, `PATCH` sends bytes, `HEAD` says how many there are.

NDJSON holds an event in each line, ours or a CloudEvent. The columns of CSV are named like the attributes of an event:
`id`, `type`, `time`, `source`, `branch`, `identifiers.<type>`, `data.<name>`, also `data.items.0.product`; a name such
as `data.score:number` (`integer`, `boolean`, `json`) makes something else than a text. Any other sheet is read by a
`mapping`. gzip is known by its first bytes.

`lines` (without the header) and `amount` (the sum of data.amount, `45000` or `KRW:45000,USD:12.50`) are control totals:
if the file holds something else, nothing of it is sent until somebody accepts that."""

_WORDS: Final = {
    "format": "csv or ndjson; known from the content type or the ending of `filename` as well",
    "mode": "live, or history: builds profiles and fires nothing",
    "filename": "as it is to be shown",
    "encoding": "gzip, to be told when it is not",
    "charset": "utf-8, or cp949 for CSV",
    "delimiter": "comma, semicolon or tab; found in the header otherwise",
    "zone": "where times without an offset were read off a clock, such as Asia/Seoul",
    "mapping": "the name of a mapping that reads the lines",
    "source": "for events that name none",
    "branch": "for events that name none, and whose sheet it is",
    "type": "for events that name none",
    "sheet_date": "the day whose sheet it is",
    "lines": "how many there are",
    "amount": "what the sum of all amounts is",
    "currency": "of `amount`",
}


def add(document: dict[str, Any]) -> None:
    paths = document["paths"]
    file = {"schema": {"type": "string", "format": "binary"}}
    paths.setdefault(PATH, {})["post"] = {
        "summary": "Send a file",
        "description": _TEXT,
        "operationId": "send_file",
        "security": [{"WriteKey": []}],
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string"}, "description": _WORDS[name]} for name in NAMES
        ],
        "requestBody": {"required": True, "content": {"text/csv": file, "application/x-ndjson": file}},
        "responses": {
            "201": {"description": "A resumable upload may begin at Location."},
            "202": {"description": "Stored safely; Location says what becomes of it."},
        }
        | _OTHERS,
    }
    here = paths.setdefault(_PLACE, {})
    here["head"] = _upload("ask_offset", "How far is an upload?", {"200": "Upload-Offset says it."})
    here["delete"] = _upload("end_upload", "Take a file back", {"204": "It is gone; what was sent stays."})
    here["patch"] = _upload("go_on_with_upload", "Go on with an upload", {"204": "Stored, up to Upload-Offset."})
    here["patch"]["requestBody"] = {"required": True, "content": {protocol.PIECE_TYPE.decode(): file}}
    here["patch"]["parameters"].append(_header("Upload-Offset", "Where the body goes on.", "integer"))


_OTHERS: Final = {
    "4XX": {"description": "Not taken, and why: a problem (RFC 9457)."},
    "503": {"description": "Cannot be stored just now; go on from the offset later."},
    "507": {"description": "Too much is stored that nobody has gone through yet."},
}


def _upload(operation: str, summary: str, responses: dict[str, str]) -> dict[str, Any]:
    import_id = {"name": "import_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
    return {
        "summary": summary,
        "operationId": operation,
        "security": [{"WriteKey": []}],
        "parameters": [import_id, _header("Tus-Resumable", "1.0.0", "string")],
        "responses": {status: {"description": text} for status, text in responses.items()} | _OTHERS,
    }


def _header(name: str, text: str, kind: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "schema": {"type": kind}, "description": text}
