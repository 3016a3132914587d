"""Does the published description of our topics say what the code does?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from libs.common import asyncapi
from libs.common.topics import CATALOGUE

FILE = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.json"


def test_the_document_is_the_one_that_the_catalogue_makes() -> None:
    assert FILE.read_text("utf-8") == asyncapi.text(), "run: python -m libs.common.asyncapi > docs/asyncapi.json"


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi.document()
    references = list(_references(json.loads(asyncapi.text())))
    assert references
    for reference in references:
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def test_every_topic_has_one_sender_and_all_its_readers() -> None:
    operations = asyncapi.document()["operations"].values()
    for topic in CATALOGUE:
        own = [each for each in operations if each["channel"]["$ref"] == f"#/channels/{topic.name}"]
        assert [each["action"] for each in own].count("send") == 1
        assert [each["action"] for each in own].count("receive") == len(topic.consumers)


def _references(node: Any) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _references(each)
