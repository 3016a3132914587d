"""Which knobs does the rules service have?"""

from __future__ import annotations

from zoneinfo import available_timezones

from pydantic import Field, field_validator

from libs.common.settings import CommonSettings, Port


class RulesSettings(CommonSettings):
    port: Port = Field(8003, validation_alias="DANGOL_RULES_PORT")
    company_zone: str = Field(
        "Asia/Seoul",
        description="use a name of the IANA time zone database; it stands in for customers whose zone is unknown",
    )
    documents_poll_seconds: float = Field(0.5, gt=0, le=60, description="use seconds, above 0 and up to 60")
    states_cached_max: int = Field(
        20_000, ge=0, le=10_000_000, description="use a number of customers per unit, from 0"
    )
    batch_events_max: int = Field(500, ge=1, le=10_000, description="use a number of events from 1 to 10000")
    timer_grace_seconds: float = Field(2.0, ge=0, le=3600, description="use seconds, from 0 to 3600")
    fanout_customers_per_second: float = Field(
        500.0,
        gt=0,
        le=100_000,
        description="use a number of customers per second and unit, above 0: those whom an event without a person may"
        " concern are looked at so fast",
    )
    fanout_valid_hours: float = Field(
        24.0, gt=0, le=168, description="use hours, above 0 and up to 168; what is left of an older event is dropped"
    )
    database_connections: int = Field(12, ge=2, le=200, description="use a number of connections from 2 to 200")

    backtests_running_max: int = Field(
        2, ge=1, le=64, description="use a number of backtests that may run at once in all processes, from 1 to 64"
    )
    backtest_archive: str = Field(
        "", description="use the folder of the archive of history, which backtests read before the log; empty for none"
    )
    warming_memory_mb: int = Field(
        1024, ge=16, le=1 << 20, description="use megabytes for what the past left of customers to rules that are new"
    )
    backtest_memory_mb: int = Field(512, ge=16, le=1 << 20, description="use megabytes for each backtest, from 16")

    campaign_url: str = Field(
        "",
        pattern=r"^(https?://[^\s]+)?$",
        description="use the address of the campaign service, which backtests ask about its gates; empty for none",
    )
    campaign_token_file: str = Field(
        "", description="use a file with a marketer's token for the campaign service; it is read when it is needed"
    )

    @field_validator("company_zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"{zone!r} is not a time zone")
        return zone
