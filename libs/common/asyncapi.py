"""How does somebody without our code read and write our topics? The catalogue as an AsyncAPI 3.0 document.

`python -m libs.common.asyncapi` prints it; `docs/asyncapi.json` is what it printed last.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import msgspec

from libs.common.events import Fact
from libs.common.settings import VERSION
from libs.common.topics import CATALOGUE, Topic

_REF = "#/components/schemas/{name}"


def document() -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components([_described(topic.event) for topic in CATALOGUE], ref_template=_REF)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Dangol", "version": VERSION, "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in CATALOGUE},
        "operations": dict(_operation(*each) for topic in CATALOGUE for each in _parties(topic)),
        "components": {
            "schemas": schemas,
            "messages": {topic.event.__name__: _message(topic) for topic in CATALOGUE},
        },
    }


def _described(event: type[Fact]) -> type[msgspec.Struct]:
    """The same shape with objects where our code keeps the bytes of an object as they came."""
    fields: list[Any] = []
    for each in msgspec.structs.fields(event):
        raw = each.type is msgspec.Raw
        default = {"default": each.default, "default_factory": each.default_factory}
        if raw and not each.required:
            default = {"default_factory": dict}
        shape = dict[str, Any] if raw else each.type
        fields.append((each.name, shape, msgspec.field(name=each.encode_name, **default)))
    return msgspec.defstruct(event.__name__, fields, namespace={"__doc__": inspect.getdoc(event)}, kw_only=True)


def _channel(topic: Topic) -> dict[str, Any]:
    name = topic.event.__name__
    kept: dict[str, Any] = {"cleanup.policy": ["compact" if topic.compacted else "delete"]}
    if topic.retention_days is not None:
        kept["retention.ms"] = topic.retention_days * 86_400_000
    return {
        "address": topic.name,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"kafka": {"topicConfiguration": kept}},
    }


def _message(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.event.__name__,
        "payload": {"$ref": _REF.format(name=topic.event.__name__)},
    }


def _parties(topic: Topic) -> list[tuple[str, str, Topic]]:
    return [("send", topic.producer or topic.owner, topic), *(("receive", each, topic) for each in topic.consumers)]


def _operation(action: str, party: str, topic: Topic) -> tuple[str, dict[str, Any]]:
    channel = {"$ref": f"#/channels/{topic.name}"}
    return f"{party} {action}s {topic.name}", {"action": action, "channel": channel, "tags": [{"name": party}]}


def text() -> str:
    pretty = msgspec.json.format(msgspec.json.encode(document()), indent=2)
    return pretty.decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
