"""Which knobs does ingest have besides the common ones?"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from libs.common.settings import CommonSettings, Port


class IngestSettings(CommonSettings):
    port: Port = Field(8001, validation_alias="DANGOL_INGEST_PORT")
    live_age_days_max: float = Field(
        35.0, gt=0, le=3650, validation_alias="DANGOL_LIVE_AGE_DAYS_MAX", description="use days, up to 3650"
    )
    live_ahead_hours_max: float = Field(
        24.0, ge=0, le=168, validation_alias="DANGOL_LIVE_AHEAD_HOURS_MAX", description="use hours, up to 168"
    )
    body_seconds_max: float = Field(
        10.0,
        gt=0,
        le=300,
        validation_alias="DANGOL_INGEST_BODY_SECONDS_MAX",
        description="use seconds, up to 300",
    )
    publish_seconds_max: float = Field(
        2.0,
        gt=0,
        le=60,
        validation_alias="DANGOL_INGEST_PUBLISH_SECONDS_MAX",
        description="use seconds, up to 60",
    )
    write_keys_file: Path | None = Field(
        None, description='name a JSON file such as {"write_keys": {"pos": "dk_pos_..."}}'
    )

    @property
    def live_age_max(self) -> timedelta:
        return timedelta(days=self.live_age_days_max)

    @property
    def live_ahead_max(self) -> timedelta:
        return timedelta(hours=self.live_ahead_hours_max)
