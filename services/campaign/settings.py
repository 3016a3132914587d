"""Which knobs does the campaign service have?"""

from __future__ import annotations

from zoneinfo import available_timezones

from pydantic import Field, field_validator

from libs.common.settings import CommonSettings, Port


class CampaignSettings(CommonSettings):
    port: Port = Field(8004, validation_alias="DANGOL_CAMPAIGN_PORT")
    company_zone: str = Field(
        "Asia/Seoul",
        description="use a name of the IANA time zone database; it stands in where a customer's is unknown",
    )
    marketing_cap_times: int = Field(
        3, ge=0, description="how many marketing contacts a person may get per channel; 0 means none at all"
    )
    marketing_cap_days: int = Field(7, ge=1, le=366, description="use days, from 1 to 366")
    documents_poll_seconds: float = Field(0.5, gt=0, le=60, description="use seconds, above 0 and up to 60")
    database_connections: int = Field(12, ge=2, le=200, description="use a number of connections from 2 to 200")

    @field_validator("company_zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"{zone!r} is not a time zone")
        return zone
