"""How does a file come in? `POST /v1/imports` with the file itself, or a resumable upload as tus 1.0.0 says.

What is asked about imports is for the application behind the door.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from libs.common import clock, logs
from libs.common.db import Database, Row
from libs.common.errors import Conflict, Fault, Forbidden, Invalid, NotFound, Refused, StoreAway, Transient
from services.ingest.doors.visit import Reply, Visit
from services.ingest.imports import protocol
from services.ingest.imports.order import Order, order_of
from services.ingest.imports.progress import CANCELLED, UNFINISHED, UPLOADING
from services.ingest.imports.translation import Mappings
from services.ingest.imports.uploading import Part, Uploads
from services.ingest.keys.book import WriteKey
from services.ingest.reception import Reception
from services.ingest.refusals import TooLarge, UnsupportedEncoding
from services.ingest.replies import JSON
from services.ingest.store import imports as store

PATH: Final = "/v1/imports"
BELOW: Final = PATH + "/"
UNFINISHED_OF_KEY_MAX: Final = 100
BYTES_HELD_MAX: Final = 16 << 30

# What else lies below the path is never as long as an id.
_PLACE: Final = re.compile(PATH + r"(?:/(?P<id>[0-9a-f-]{36}))?/?\Z")
_TUS: Final = ((b"tus-resumable", protocol.VERSION),)
_METHODS: Final = ("HEAD", "PATCH", "DELETE", "OPTIONS")
_FORMATS: Final = {
    "text/csv": {"format": "csv"},
    "application/csv": {"format": "csv"},
    "text/tab-separated-values": {"format": "csv", "delimiter": "tab"},
    "application/x-ndjson": {"format": "ndjson"},
    "application/ndjson": {"format": "ndjson"},
    "application/jsonl": {"format": "ndjson"},
    "application/x-jsonlines": {"format": "ndjson"},
}
_ENDINGS: Final = {".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}


class TooMuchHeld(Refused):
    status = 507
    title = "No room at the moment"


class ImportDoor:
    def __init__(
        self,
        reception: Reception,
        database: Database,
        uploads: Uploads,
        mappings: Mappings,
        uploaded: Callable[[], None],
    ) -> None:
        """`uploaded` is told that a file may be complete."""
        self._reception = reception
        self._database = database
        self._uploads = uploads
        self._mappings = mappings
        self._uploaded = uploaded

    async def answer(self, visit: Visit) -> Reply | None:
        found = _PLACE.match(visit.path)
        method = _method_of(visit)
        if found is None or method not in (_METHODS if found["id"] else ("POST", "OPTIONS")):
            return None
        try:
            return await self._answer(visit, method, found["id"] or "")
        except Transient as error:
            logs.get(__name__).warning("an upload cannot be stored now", error=f"{type(error).__name__}: {error}")
            raise StoreAway(str(error)) from error

    async def _answer(self, visit: Visit, method: str, import_id: str) -> Reply:
        if method == "OPTIONS":
            visit.read = True
            return self._options()
        key = self._key_of(visit)
        if method == "POST":
            return await self._create(visit, key)
        visit.answer_headers = (*visit.answer_headers, *_TUS)
        protocol.check_version(visit.header(b"tus-resumable"))
        if method == "PATCH":
            return await self._patch(visit, key, import_id)
        visit.read = True
        return await (self._head(key, import_id) if method == "HEAD" else self._delete(key, import_id))

    def _key_of(self, visit: Visit) -> WriteKey:
        key = self._reception.key_of(visit.head.key, visit.head.origin)
        if key.is_browser:
            raise Forbidden("A browser's key sends no files; use a server's key.")
        return key

    def _options(self) -> Reply:
        headers = (
            *_TUS,
            (b"tus-version", protocol.VERSION),
            (b"tus-extension", protocol.EXTENSIONS),
            (b"tus-checksum-algorithm", protocol.ALGORITHMS),
            (b"tus-max-size", b"%d" % self._uploads.limits.file_bytes_max),
        )
        return Reply(204, b"", b"", headers)

    async def _create(self, visit: Visit, key: WriteKey) -> Reply:
        if not any(visit.header(name) for name in (b"tus-resumable", b"upload-length", b"upload-defer-length")):
            return await self._take_whole(visit, key)
        visit.answer_headers = (*visit.answer_headers, *_TUS)
        protocol.check_version(visit.header(b"tus-resumable"))
        size = protocol.number_in(visit.header(b"upload-length"), "Upload-Length")
        if size is None and visit.header(b"upload-defer-length").strip() != b"1":
            raise Refused("Send Upload-Length, or Upload-Defer-Length: 1 while it is not known.")
        metadata = visit.header(b"upload-metadata")
        given = protocol.metadata_in(metadata)
        order = self._order(
            given | _format_of(given.get("filename", "")) if "format" not in given else given, key, True
        )
        import_id = await self._store(order, key, size, metadata.decode("ascii", "replace"))
        offset = 0
        if visit.head.content_type == protocol.PIECE_TYPE and size != 0:
            part = Part(import_id, 0, size, protocol.checksum_in(visit.header(b"upload-checksum")))
            offset = await self._uploads.append(part, visit.receive)
        visit.read = True
        self._uploaded()
        headers = ((b"location", f"{BELOW}{import_id}".encode()), (b"upload-offset", b"%d" % offset))
        return Reply(201, JSON, _told(import_id), headers)

    async def _take_whole(self, visit: Visit, key: WriteKey) -> Reply:
        """The file itself is the body; when it breaks off, it can be gone on with as a resumable upload."""
        query = _query_of(visit)
        order = self._order(_described(visit, query), key, False)
        size = protocol.number_in(visit.header(b"content-length"), "Content-Length")
        import_id = await self._store(order, key, size, "")
        location = ((b"location", f"{BELOW}{import_id}".encode()),)
        visit.answer_headers = (*visit.answer_headers, *location)
        if size != 0:
            await self._uploads.append(Part(import_id, 0, size), visit.receive, is_all=True)
        visit.read = True
        self._uploaded()
        return Reply(202, JSON, _told(import_id))

    async def _head(self, key: WriteKey, import_id: str) -> Reply:
        row = await self._own(key, import_id)
        size = (b"upload-defer-length", b"1") if row["size"] is None else (b"upload-length", b"%d" % row["size"])
        headers = [(b"upload-offset", b"%d" % row["received"]), size, (b"cache-control", b"no-store")]
        if row["metadata"]:
            headers.append((b"upload-metadata", row["metadata"].encode("ascii", "replace")))
        return Reply(200, JSON, b"", tuple(headers))

    async def _patch(self, visit: Visit, key: WriteKey, import_id: str) -> Reply:
        if visit.head.content_type != protocol.PIECE_TYPE:
            raise protocol.WrongType(f"Send the content type {protocol.PIECE_TYPE.decode()}.")
        offset = protocol.number_in(visit.header(b"upload-offset"), "Upload-Offset")
        if offset is None:
            raise Refused("Send Upload-Offset, the place in the file where the body goes on.")
        checksum = protocol.checksum_in(visit.header(b"upload-checksum"))
        row = await self._own(key, import_id)
        if offset != row["received"] or row["state"] != UPLOADING:
            there = f"The upload is at {row['received']}, not at {offset}"
            raise Conflict(f"{there}, and {row['state']}; ask for its offset (HEAD) and go on there.")
        size = row["size"] if row["size"] is not None else self._announced(visit, offset)
        end = await self._uploads.append(Part(import_id, offset, size, checksum), visit.receive)
        visit.read = True
        self._uploaded()
        return Reply(204, b"", b"", ((b"upload-offset", b"%d" % end),))

    async def _delete(self, key: WriteKey, import_id: str) -> Reply:
        row = await self._own(key, import_id)
        if row["state"] not in UNFINISHED:
            raise Conflict(f"The import is {row['state']}; what it sent stays.")
        async with self._database.connection() as connection:
            await store.end(connection, import_id, CANCELLED, "Its sender took it back.", clock.now())
        return Reply(204, b"", b"")

    def _announced(self, visit: Visit, offset: int) -> int | None:
        size = protocol.number_in(visit.header(b"upload-length"), "Upload-Length")
        if size is not None and size < offset:
            raise Refused("Upload-Length is less than what is here already.")
        self._check_size(size)
        return size

    def _order(self, given: dict[str, str], key: WriteKey, is_tus: bool) -> Order:
        place = "Upload-Metadata" if is_tus else "query"
        order = order_of(given, place)
        if order.source and not key.may_claim(order.source):
            raise Forbidden(f"This key may not send as this source; its sources are {', '.join(key.sources)}.")
        if order.is_history and not key.may_send_history:
            raise Forbidden("This key has no permission to send history.")
        if order.branch and not key.may_send_of(order.branch):
            raise Forbidden("This key may not send for this branch.")
        if order.mapping and self._mappings.get(order.mapping) is None:
            raise Invalid(
                "The import cannot be made like this.", [Fault(f"{place}/mapping", "there is no such mapping")]
            )
        return order

    async def _store(self, order: Order, key: WriteKey, size: int | None, metadata: str) -> str:
        self._check_size(size)
        import_id = str(clock.new_id())
        instructions = msgspec.json.encode(order).decode()
        about = (order.filename, order.source, order.branch, order.sheet_date, instructions, metadata, size)
        async with self._database.connection() as connection:
            held = await store.held(connection, key.key_id)
            if held.of_key >= UNFINISHED_OF_KEY_MAX:
                raise Conflict(f"This key has {held.of_key} unfinished imports; finish or cancel some of them.")
            if held.bytes + (size or 0) > BYTES_HELD_MAX:
                raise TooMuchHeld("Too many bytes of unfinished imports are held; try again when some are through.")
            await store.create(connection, store.NewImport(import_id, key.key_id, key.channel, *about), clock.now())
        return import_id

    def _check_size(self, size: int | None) -> None:
        limit = self._uploads.limits.file_bytes_max
        if size is not None and size > limit:
            raise TooLarge(f"The file is larger than {limit} bytes; send it in smaller parts.")

    async def _own(self, key: WriteKey, import_id: str) -> Row:
        """Another key's import is none at all."""
        async with self._database.connection() as connection:
            row = await store.find(connection, import_id)
        if row is None or row["key_id"] != key.key_id:
            raise NotFound("There is no import with this id.")
        return row


def _method_of(visit: Visit) -> str:
    """Some networks let nothing but GET and POST through, so tus lets a header name the method."""
    if visit.method == "POST" and (named := visit.header(b"x-http-method-override")):
        return named.decode("latin-1").strip().upper()
    return visit.method


def _query_of(visit: Visit) -> dict[str, str]:
    query: bytes = visit.scope.get("query_string", b"")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except (UnicodeDecodeError, ValueError):
        raise Refused("The query is not percent-encoded UTF-8.") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise Refused("A parameter of the query is given twice.")
    return given


def _described(visit: Visit, query: dict[str, str]) -> dict[str, str]:
    """What the query says, and what the headers say of the body."""
    kind, _, parameters = visit.head.content_type.decode("latin-1").partition(";")
    kind = kind.strip().lower()
    if kind.startswith("multipart/"):
        raise protocol.WrongType("Send the file itself as the body (curl -T FILE -X POST), not a form.")
    said = dict(_FORMATS.get(kind, {}) or _format_of(query.get("filename", "")))
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            said["charset"] = value.strip().strip('"').lower()
    encoding = visit.head.encoding.decode("latin-1").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise UnsupportedEncoding("Only gzip is understood as Content-Encoding of a file.")
    if encoding:
        said["encoding"] = encoding
    if "format" not in said and "format" not in query:
        raise protocol.WrongType("Send the content type text/csv or application/x-ndjson, or say format=csv|ndjson.")
    return said | query


def _format_of(filename: str) -> dict[str, str]:
    ending = filename.lower().removesuffix(".gz")
    return next(({"format": name} for each, name in _ENDINGS.items() if ending.endswith(each)), {})


def _told(import_id: str) -> bytes:
    return msgspec.json.encode({"id": import_id, "href": f"{BELOW}{import_id}"})
