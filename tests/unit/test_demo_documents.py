"""Do the demo's rules, campaigns and templates hold, and do they fit together?"""

from __future__ import annotations

import pytest

from deploy.demo import installing
from services.campaign.document import CampaignDocument
from services.notify import content
from services.notify.api.shapes import TemplateDocument
from services.rules.document import validation
from services.rules.document.language import Rule

RULES = {document["id"]: validation.read(document) for document in installing.read("rules")}
CAMPAIGNS = {each["id"]: CampaignDocument.model_validate(each) for each in installing.read("campaigns")}
TEMPLATES = {each["id"]: TemplateDocument.model_validate(each) for each in installing.read("templates")}


def test_each_campaign_is_started_by_a_rule_and_has_a_template_of_its_channel() -> None:
    triggers = {rule.emit.trigger for rule in RULES.values()}
    for campaign in CAMPAIGNS.values():
        assert campaign.trigger in triggers
        assert TEMPLATES[campaign.template].channel == campaign.channel


def test_each_rule_starts_a_campaign_or_writes_a_field() -> None:
    bound = {campaign.trigger for campaign in CAMPAIGNS.values()}
    assert [rule.id for rule in RULES.values() if rule.emit.trigger not in bound and not rule.emit.set] == []


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_each_template_can_be_filled_in_with_its_sample(template: TemplateDocument) -> None:
    assert content.faults_of(template.as_body()) == []


@pytest.mark.parametrize("campaign", CAMPAIGNS.values(), ids=CAMPAIGNS.keys())
def test_each_template_gets_from_a_rule_what_it_prints(campaign: CampaignDocument) -> None:
    source = TEMPLATES[campaign.template]
    given: set[str] = set()
    for rule in _rules_of(campaign.trigger):
        given |= set(rule.emit.include)
    printed = {name for name in ("amount", "branch", "product", "price", "topic", "tier") if _prints(source, name)}
    assert printed <= given


def test_mails_are_sent_at_any_hour_and_an_advertising_sms_waits_for_the_morning() -> None:
    for campaign in CAMPAIGNS.values():
        if campaign.channel == "email":
            assert campaign.quiet_hours is None
        if campaign.channel == "sms":
            assert "quiet_hours" not in campaign.model_fields_set


def test_every_advertisement_says_how_to_stop_it() -> None:
    for campaign in CAMPAIGNS.values():
        if campaign.class_ == "marketing" and campaign.channel in ("email", "sms"):
            assert "message.unsubscribe_url" in TEMPLATES[campaign.template].body


def _rules_of(trigger: str) -> list[Rule]:
    return [rule for rule in RULES.values() if rule.emit.trigger == trigger]


def _prints(template: TemplateDocument, name: str) -> bool:
    return f"trigger.{name}" in template.body + template.subject
