"""Which knobs does ingest have besides the common ones?"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr

from libs.common.settings import TOKEN_SECRET_LENGTH_MIN, CommonSettings, Port
from services.ingest.rejects.keeping import Allowance


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
    public_url: str = Field(
        "",
        pattern=r"^(https?://[A-Za-z0-9.\-_:\[\]]+/?)?$",
        validation_alias="DANGOL_INGEST_PUBLIC_URL",
        description="set it to the address that browsers reach this service at, such as https://events.example.com; "
        "without it they are told the one that they asked by",
    )
    sealing_secret: SecretStr | None = Field(
        None,
        min_length=TOKEN_SECRET_LENGTH_MIN,
        validation_alias="DANGOL_INGEST_SEALING_SECRET",
        description=f"set it to a random string of at least {TOKEN_SECRET_LENGTH_MIN} characters; "
        "the secrets of webhooks and of sites are sealed with it, with DANGOL_TOKEN_SECRET when it is not set",
    )
    sealing_secrets_previous: SecretStr = Field(
        SecretStr(""),
        validation_alias="DANGOL_INGEST_SEALING_SECRETS_PREVIOUS",
        description="list retired sealing secrets, separated by commas; what they sealed still opens",
    )

    import_file_bytes_max: int = Field(
        1 << 30,
        ge=1,
        le=1 << 40,
        validation_alias="DANGOL_INGEST_IMPORT_FILE_BYTES_MAX",
        description="use bytes; it bounds a file as it is sent, and four times of it what it inflates to",
    )
    import_piece_seconds_max: float = Field(
        30.0,
        gt=0,
        le=3600,
        validation_alias="DANGOL_INGEST_IMPORT_PIECE_SECONDS_MAX",
        description="use seconds, up to 3600; within them 256 KiB of an upload arrive",
    )
    import_idle_hours_max: float = Field(
        24.0,
        gt=0,
        le=720,
        validation_alias="DANGOL_INGEST_IMPORT_IDLE_HOURS_MAX",
        description="use hours, up to 720; an upload that nobody goes on with is dropped then",
    )
    import_lines_per_second_max: float = Field(
        20_000.0,
        gt=0,
        validation_alias="DANGOL_INGEST_IMPORT_LINES_PER_SECOND_MAX",
        description="use lines a second, for each process",
    )
    import_running_max: int = Field(
        2,
        ge=0,
        le=32,
        validation_alias="DANGOL_INGEST_IMPORT_RUNNING_MAX",
        description="use how many files a process goes through at once; 0 leaves them to other processes",
    )
    import_refused_lines_max: int = Field(
        100_000,
        ge=1,
        validation_alias="DANGOL_INGEST_IMPORT_REFUSED_LINES_MAX",
        description="use a number of lines; an import that refuses more of them is stopped",
    )

    @property
    def sealing_secrets(self) -> tuple[str, ...]:
        """The first seals. The token secrets open what was sealed before there was a secret for this alone."""
        own = () if self.sealing_secret is None else (self.sealing_secret.get_secret_value(),)
        listed = self.sealing_secrets_previous.get_secret_value().split(",")
        return (*own, *self.token_secrets, *(part.strip() for part in listed if part.strip()))

    rejects_days_max: float = Field(
        30.0, gt=0, le=400, validation_alias="DANGOL_INGEST_REJECTS_DAYS_MAX", description="use days, up to 400"
    )
    rejects_per_hour_max: int = Field(
        100_000,
        ge=0,
        validation_alias="DANGOL_INGEST_REJECTS_PER_HOUR_MAX",
        description="use a number: of one key so many are kept from an hour, and the rest is counted",
    )
    rejects_bytes_per_hour_max: int = Field(
        256 << 20,
        ge=0,
        validation_alias="DANGOL_INGEST_REJECTS_BYTES_PER_HOUR_MAX",
        description="use bytes: of one key so many bytes of bodies are kept from an hour",
    )

    @property
    def rejects_allowance(self) -> Allowance:
        return Allowance(self.rejects_per_hour_max, self.rejects_bytes_per_hour_max)

    @property
    def rejects_kept_for(self) -> timedelta:
        return timedelta(days=self.rejects_days_max)

    @property
    def live_age_max(self) -> timedelta:
        return timedelta(days=self.live_age_days_max)

    @property
    def live_ahead_max(self) -> timedelta:
        return timedelta(hours=self.live_ahead_hours_max)

    @property
    def import_idle_max(self) -> timedelta:
        return timedelta(hours=self.import_idle_hours_max)
