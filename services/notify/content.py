"""What does a message say? Marketers' Liquid templates, compiled once, filled in within limits. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from html import unescape
from typing import Any

import msgspec
from liquid import BoundTemplate, Environment, StrictUndefined, Undefined
from liquid.exceptions import LiquidError
from msgspec import Struct

from libs.common.documents import ActiveDocument
from libs.common.errors import Fault
from services.notify.filters import OUTPUT_LENGTH_MAX, TooLong, bounded
from services.notify.signing import CLICK, OPEN, UNSUBSCRIBE, token

SUBJECT_LENGTH_MAX = 300
ROOTS = frozenset({"customer", "trigger", "message"})
LINKS_MAX = 200

_FORBIDDEN_TAGS = ("include", "render", "tablerow")
_WEB_ADDRESS = re.compile(r"^https?://[^\s/?#@\\]+(?:[/?#]\S*)?$", re.IGNORECASE)
_TAG = re.compile(r"<[a-zA-Z/!][^>]*>")
_BREAK = re.compile(r"<(?:br|/p|/div|/h[1-6]|/li|/tr)\b[^>]*>", re.IGNORECASE)
_UNSEEN = re.compile(r"<(style|script|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_ANCHOR = re.compile(r"<a\b[^>]*\bhref=[\"']([^\"']*)[\"'][^>]*>(.*?)</a\s*>", re.IGNORECASE | re.DOTALL)
_BREAKDOWNS = (LiquidError, TooLong, ValueError, TypeError, ArithmeticError, LookupError, RecursionError)
"""Whatever hostile data may bring a filter to raise."""

_links: ContextVar[Links] = ContextVar("dangol_links")


class TemplateBody(Struct, frozen=True):
    """A template as it is kept. `sample` holds a customer and a trigger to try it with."""

    id: str
    channel: str
    body: str
    subject: str = ""
    language: str = "en"
    sample: dict[str, Any] = {}


class Rendered(Struct, frozen=True):
    subject: str
    body: str
    links: tuple[str, ...]


class Unrenderable(Exception):
    """The template broke on this data; the text says how."""


class Links:
    """Makes the tracked addresses of one message, and remembers where they lead."""

    def __init__(self, secret: bytes, public_url: str, message_id: str) -> None:
        self.targets: list[str] = []
        self._secret = secret
        self._public_url = public_url
        self._message_id = message_id

    def track(self, target: str) -> str:
        """Empty for what is no web address: it must not become a link."""
        if not _WEB_ADDRESS.match(target) or len(target) > 2_000 or len(self.targets) >= LINKS_MAX:
            return ""
        if target not in self.targets:
            self.targets.append(target)
        return self._address(CLICK, self.targets.index(target))

    @property
    def unsubscribe_url(self) -> str:
        return self._address(UNSUBSCRIBE, 0)

    @property
    def pixel_url(self) -> str:
        return f"{self._address(OPEN, 0)}.gif"

    def _address(self, purpose: str, number: int) -> str:
        made = token(self._secret, purpose, self._message_id, number)
        return f"{self._public_url}/t/{purpose}/{made}"


def _track(value: object) -> str:
    return _links.get().track(str(value).strip())


class _Limited(Environment):
    context_depth_limit = 20
    loop_iteration_limit = 10_000
    local_namespace_limit = 200_000
    output_stream_limit = OUTPUT_LENGTH_MAX
    block_nesting_limit = 20

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for name in _FORBIDDEN_TAGS:
            self.tags.pop(name, None)
        for name, function in list(self.filters.items()):
            self.filters[name] = bounded(name, function)
        self.filters["track"] = _track


class Compiled:
    """A template that parses. Raises LiquidError from the beginning if it does not."""

    def __init__(self, body: TemplateBody, version: int = 0, *, strict: bool = False) -> None:
        undefined = StrictUndefined if strict else Undefined
        self.version = version
        self.channel = body.channel
        self._is_html = body.channel == "email"
        environment = _Limited(autoescape=self._is_html, undefined=undefined)
        plain = _Limited(autoescape=False, undefined=undefined)
        self._breaks = self._is_html and not _TAG.search(body.body)
        self.body: BoundTemplate = environment.from_string(body.body)
        self.subject: BoundTemplate = plain.from_string(body.subject)

    def render(self, customer: Mapping[str, Any], trigger: Mapping[str, Any], links: Links) -> Rendered:
        """Raises Unrenderable. Only plain data goes in, so no attribute of any object can be read."""
        message = {"unsubscribe_url": links.unsubscribe_url}
        before = _links.set(links)
        try:
            subject = self.subject.render(customer=customer, trigger=trigger, message=message)
            body = self.body.render(customer=customer, trigger=trigger, message=message)
        except _BREAKDOWNS as error:
            raise Unrenderable(_said(error)) from error
        finally:
            _links.reset(before)
        return Rendered(_one_line(subject), self._finished(body, links), tuple(links.targets))

    def _finished(self, body: str, links: Links) -> str:
        body = body.replace("\x00", "")
        if not self._is_html:
            return body.strip()
        if self._breaks:
            body = body.strip().replace("\n", "<br>\n")
        return f'{body}\n<img src="{links.pixel_url}" width="1" height="1" alt="">'


def _said(error: Exception) -> str:
    """The first line: the others repeat the template."""
    first = (str(error) or type(error).__name__).splitlines()[0]
    line = getattr(getattr(error, "token", None), "line", None)
    return f"{first} (line {line})"[:300] if isinstance(line, int) else first[:300]


def _one_line(text: str) -> str:
    return " ".join(text.replace("\x00", "").split())[:SUBJECT_LENGTH_MAX]


def as_text(html: str) -> str:
    """What a mail program without HTML shows; a link's address stands behind its words."""
    text = _ANCHOR.sub(lambda match: f"{match[2]} ({match[1]})", _UNSEEN.sub("", html))
    text = unescape(_TAG.sub("", _BREAK.sub("\n", text)))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return "\n".join(lines).strip() + "\n"


Shelf = Mapping[str, Compiled | str]
"""Templates by id; one that does not compile is its reason."""


def compile_all(documents: Sequence[ActiveDocument]) -> Shelf:
    return {document.id: _compiled(document) for document in documents}


def _compiled(document: ActiveDocument) -> Compiled | str:
    try:
        return Compiled(parsed(document.body), document.version)
    except (*_BREAKDOWNS, msgspec.MsgspecError) as error:
        return _said(error)


def faults_of(body: TemplateBody) -> list[Fault]:
    """Everything that is wrong with a template, as far as it can be known before it is used."""
    faults = []
    for name, source in (("subject", body.subject), ("body", body.body)):
        try:
            faults += _unknown_roots(name, _Limited().from_string(source))
        except _BREAKDOWNS as error:
            faults.append(Fault(f"/{name}", f"not valid Liquid: {_said(error)}"))
    return faults or _sample_faults(body)


def _unknown_roots(name: str, template: BoundTemplate) -> list[Fault]:
    unknown = sorted(set(template.analyze(include_partials=False).globals) - ROOTS)
    return [
        Fault(f"/{name}", f"unknown variable {root!r}; there are customer.…, trigger.… and message.unsubscribe_url")
        for root in unknown
    ]


def _sample_faults(body: TemplateBody) -> list[Fault]:
    """Render with the sample, and let nothing be missing from it."""
    if not body.sample:
        return []
    try:
        rendered = preview(body, body.sample, strict=True)
    except Unrenderable as error:
        return [Fault("/body", f"cannot be filled in with the sample: {error}")]
    if body.channel != "email" and not rendered.body:
        return [Fault("/body", "is empty when it is filled in with the sample")]
    return []


def parsed(document: bytes) -> TemplateBody:
    return msgspec.json.decode(document, type=TemplateBody)


def preview(body: TemplateBody, data: Mapping[str, Any], *, strict: bool = False) -> Rendered:
    """The message as `data` (customer and trigger) would make it, with links that lead nowhere."""
    links = Links(b"preview", "https://preview.invalid", "00000000-0000-0000-0000-000000000000")
    try:
        compiled = Compiled(body, strict=strict)
    except _BREAKDOWNS as error:
        raise Unrenderable(_said(error)) from error
    return compiled.render(_mapping(data, "customer"), _mapping(data, "trigger"), links)


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    held = data.get(name)
    return held if isinstance(held, Mapping) else {}
