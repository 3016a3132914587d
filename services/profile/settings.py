"""Which knobs does the profile service have?"""

from __future__ import annotations

from zoneinfo import available_timezones

from pydantic import Field, SecretStr, field_validator

from libs.common.settings import TOKEN_SECRET_LENGTH_MIN, CommonSettings, Port


class ProfileSettings(CommonSettings):
    port: Port = Field(8002, validation_alias="DANGOL_PROFILE_PORT")
    region: str = Field(
        "KR",
        pattern="^[A-Z]{2}$",
        validation_alias="DANGOL_REGION",
        description="use a country's two letters: telephone numbers without a country code belong there",
    )
    company_zone: str = Field(
        "Asia/Seoul",
        description="use a name of the IANA time zone database; days of customers are counted in it",
    )
    live_age_days: int = Field(
        35,
        ge=1,
        le=366,
        validation_alias="DANGOL_LIVE_AGE_DAYS",
        description="use days: how long ids of live events are remembered, and how old such an event may be",
    )
    database_connections: int = Field(12, ge=2, le=100, validation_alias="DANGOL_PROFILE_DATABASE_CONNECTIONS")
    batch_max: int = Field(500, ge=1, le=5000, validation_alias="DANGOL_PROFILE_BATCH_MAX")

    erasure_secret: SecretStr | None = Field(
        None,
        min_length=TOKEN_SECRET_LENGTH_MIN,
        description=f"set it to a random string of at least {TOKEN_SECRET_LENGTH_MIN} characters, and never lose it: "
        "those who were erased are recognised by it, by DANGOL_TOKEN_SECRET when it is not set",
    )
    erasure_secrets_previous: SecretStr = Field(
        SecretStr(""),
        description="list retired erasure secrets, separated by commas; who was erased under them is still recognised",
    )

    @property
    def erasure_secrets(self) -> tuple[str, ...]:
        """The first marks. The token secrets recognise whom they marked before there was a secret for this alone."""
        own = () if self.erasure_secret is None else (self.erasure_secret.get_secret_value(),)
        listed = self.erasure_secrets_previous.get_secret_value().split(",")
        return (*own, *self.token_secrets, *(part.strip() for part in listed if part.strip()))

    @field_validator("company_zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"{zone!r} is not a time zone")
        return zone
