"""Can a template say what it should, and nothing that it should not, whatever the data is?"""

from __future__ import annotations

import time

import pytest

from services.notify.content import Compiled, Links, TemplateBody, Unrenderable, as_text, faults_of, preview
from services.notify.signing import CLICK, read_token

MESSAGE = "0193a3c0-0000-7000-8000-000000000001"


def body(text: str, channel: str = "sms", **more: object) -> TemplateBody:
    return TemplateBody("t", channel, text, **more)  # type: ignore[arg-type]


def links() -> Links:
    return Links(b"secret", "https://m.example.org", MESSAGE)


def rendered(text: str, data: dict[str, object] | None = None, channel: str = "sms") -> str:
    return Compiled(body(text, channel)).render({"name": "<b>Kim</b>", **(data or {})}, {}, links()).body


def test_data_is_escaped_in_mail_and_left_alone_in_text() -> None:
    assert rendered("Hi {{ customer.name }}") == "Hi <b>Kim</b>"
    assert rendered("<p>Hi {{ customer.name }}</p>", channel="email").startswith("<p>Hi &lt;b&gt;Kim&lt;/b&gt;</p>")


def test_what_is_missing_is_empty_when_it_is_sent_and_a_fault_when_it_is_saved() -> None:
    assert rendered("Hi {{ customer.nick }}!") == "Hi !"
    (fault,) = faults_of(body("Hi {{ customer.nick }}!", sample={"customer": {"name": "Kim"}}))
    assert "customer.nick" in fault.detail
    assert faults_of(body("Hi {{ customer.name }}!", sample={"customer": {"name": "Kim"}})) == []


def test_an_unknown_root_is_named() -> None:
    (fault,) = faults_of(body("{% for i in (1..2) %}{{ i }}{% endfor %} {{ costumer.name }}"))
    assert (fault.pointer, "'costumer'" in fault.detail) == ("/body", True)


def test_a_tracked_link_hides_its_target_and_the_same_target_is_one_link() -> None:
    made = links()
    text = Compiled(body("{{ 'https://a.example/x?y=1' | track }} {{ 'https://a.example/x?y=1' | track }}")).render(
        {}, {}, made
    )
    first, second = text.body.split()
    assert first == second
    assert text.links == ("https://a.example/x?y=1",)
    assert read_token(b"secret", CLICK, first.rsplit("/", 1)[1]) == (MESSAGE, 0)


@pytest.mark.parametrize(
    "target", ["javascript:alert(1)", "data:text/html,x", "//evil", "https://u@evil", "https://a b", ""]
)
def test_what_is_no_web_address_becomes_no_link(target: str) -> None:
    assert links().track(target) == ""


@pytest.mark.parametrize(
    "attack",
    [
        "{% for i in (1..100000000) %}x{% endfor %}",
        "{% for i in (1..9999) %}{% for j in (1..9999) %}x{% endfor %}{% endfor %}",
        "{{ 'aaaaaaaaaa' | replace: 'a', '" + "b" * 20_000 + "' }}",
        "{{ 'a'" + " | replace: 'a', 'aaaaaaaaaa'" * 40 + " }}",
        "{% assign x = 'aaaaaaaaaa' %}" + "{% assign x = x | append: x %}" * 60 + "{{ x }}",
        "{{ 9" + " | times: 999999999999" * 2_000 + " }}",
        "{% for i in (1..9999) %}xxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
        "{{ 1 | divided_by: 0 }}",
        "{{ customer.name | nothing }}",
        "{% include 'x' %}",
    ],
)
def test_an_attack_ends_in_a_reason_within_a_second(attack: str) -> None:
    began = time.monotonic()
    with pytest.raises(Unrenderable):
        preview(body(attack), {})
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("text", ["{{ customer.__class__ }}", "{{ customer.keys }}", "{{ customer.name.__len__ }}"])
def test_no_attribute_of_an_object_can_be_read(text: str) -> None:
    assert rendered(text) == ""


def test_a_subject_is_one_line_whatever_the_data_holds() -> None:
    template = Compiled(body("x", "email", subject="Hi {{ customer.name }}"))
    made = template.render({"name": "a\r\nBcc: all@example.org\x00"}, {}, links())
    assert made.subject == "Hi a Bcc: all@example.org"


def test_mail_has_a_text_that_says_where_its_links_lead() -> None:
    html = '<style>p{}</style><p>Hello&nbsp;Kim &amp; Lee</p><a href="https://a.example/1">shop</a><img src="x">'
    assert as_text(html) == "Hello Kim & Lee\nshop (https://a.example/1)\n"
    assert rendered("one\ntwo", channel="email").startswith("one<br>\ntwo")
