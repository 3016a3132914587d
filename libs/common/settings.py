"""Which knobs does every service share, and what is each set to? The only door to the environment."""

from __future__ import annotations

import os
import socket
import sys
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from libs.common import clock

VERSION = "0.1.0"
EXIT_MISCONFIGURED = 2
TOKEN_SECRET_LENGTH_MIN = 32
_DISTINCT_CHARACTERS_MIN = 8

LogLevel = Literal["debug", "info", "warning", "error"]
Port = Annotated[int, Field(ge=0, le=65535)]


def _new_instance_id() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{clock.new_id().hex[-6:]}"


class DatabaseSettings(BaseSettings):
    """What is needed to reach the databases, and nothing else: migrations run without the other secrets."""

    model_config = SettingsConfigDict(env_prefix="DANGOL_", extra="ignore", populate_by_name=True, frozen=True)

    database_url: str = Field(
        repr=False,
        description="set it to the address of a PostgreSQL server, "
        "such as postgresql://dangol:PASSWORD@127.0.0.1:15432/postgres",
    )
    database_prefix: str = Field(
        "dangol_", pattern=r"^[a-z_][a-z0-9_]{0,39}$", description="use lower-case letters, digits and _"
    )
    log_level: LogLevel = Field("info", description="use debug, info, warning or error")

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        if urlsplit(url).scheme not in ("postgresql", "postgres"):
            raise ValueError("the address does not begin with postgresql://")
        return url

    def database_url_of(self, service: str) -> str:
        """The same server, the service's own database."""
        return urlunsplit(urlsplit(self.database_url)._replace(path=f"/{self.database_prefix}{service}"))


class CommonSettings(DatabaseSettings):
    """A service adds its own knobs, its port among them:

    `port: Port = Field(8001, validation_alias="DANGOL_INGEST_PORT")`
    """

    host: str = "127.0.0.1"
    kafka_bootstrap: str = Field("127.0.0.1:19092", min_length=1, description="use host:port[,host:port]")
    topic_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="use letters, digits, dot, underscore and hyphen"
    )
    partitions: int = Field(8, ge=1, le=1024, description="use a number from 1 to 1024")
    token_secret: SecretStr = Field(
        description="set it to a long random string, such as the output of "
        "`python -c 'import secrets; print(secrets.token_urlsafe(48))'`, the same for every service",
    )
    token_secrets_previous: SecretStr = Field(
        SecretStr(""),
        description="list retired secrets, separated by commas; tokens signed by them still pass",
    )
    instance_id: str = Field(default_factory=_new_instance_id, min_length=1, max_length=200)
    shutdown_seconds_max: float = Field(10.0, gt=0, le=300, description="use seconds, above 0 and up to 300")
    limit_concurrency: int | None = Field(None, ge=1, description="use a number of requests, at least 1")
    works: bool = Field(
        True,
        description="use true or false: a process that does not work off events leaves its core to answering requests",
    )
    approval_above_percent: float | None = Field(
        None,
        ge=0,
        le=100,
        description="use a share of the customers in percent above which rules, campaigns and templates need a second "
        "person's approval before they count; 0 for whatever they reach",
    )
    guard_unsubscribe_percent: float | None = Field(
        0.5, ge=0, le=100, description="use the percentage of contacts above which a rule or campaign is paused"
    )
    guard_complaint_percent: float | None = Field(
        0.1, ge=0, le=100, description="use the percentage of contacts above which a rule or campaign is paused"
    )
    guard_bounce_percent: float | None = Field(
        5, ge=0, le=100, description="use the percentage of contacts above which a rule or campaign is paused"
    )
    guard_cap_block_percent: float | None = Field(
        50, ge=0, le=100, description="use the percentage of decisions above which a rule or campaign is paused"
    )
    guard_after: int = Field(
        100, ge=1, le=1_000_000, description="use the number of contacts from which on guards judge, from 1"
    )
    guard_days: int = Field(7, ge=1, le=90, description="use the days that guards look back, from 1 to 90")
    crashpoints: str = ""

    @field_validator("token_secret")
    @classmethod
    def _is_strong(cls, secret: SecretStr) -> SecretStr:
        _refuse_weak(secret.get_secret_value())
        return secret

    @field_validator("token_secrets_previous")
    @classmethod
    def _are_strong(cls, secrets: SecretStr) -> SecretStr:
        for secret in _split(secrets.get_secret_value()):
            _refuse_weak(secret)
        return secrets

    @property
    def token_secrets(self) -> tuple[str, ...]:
        """The secret that signs comes first; the others only verify, for the time of a rotation."""
        return (self.token_secret.get_secret_value(), *_split(self.token_secrets_previous.get_secret_value()))


def _split(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _refuse_weak(secret: str) -> None:
    if len(secret) < TOKEN_SECRET_LENGTH_MIN:
        raise ValueError(f"the secret has {len(secret)} characters, at least {TOKEN_SECRET_LENGTH_MIN} are needed")
    if len(set(secret)) < _DISTINCT_CHARACTERS_MIN:
        raise ValueError("the secret repeats a few characters and can be guessed")


S = TypeVar("S", bound=BaseSettings)


def load(settings_class: type[S]) -> S:
    """Read the environment, or end the process with one line per problem and exit code 2."""
    try:
        return settings_class()
    except ValidationError as error:
        lines = [_line(settings_class, problem["loc"], problem) for problem in error.errors(include_url=False)]
    except SettingsError as error:
        lines = [str(error)]
    for line in lines:
        sys.stderr.write(f"error: {line}\n")
    raise SystemExit(EXIT_MISCONFIGURED)


def _line(settings_class: type[BaseSettings], location: tuple[int | str, ...], problem: object) -> str:
    name = str(location[0]) if location else ""
    field = _field_of(settings_class, name)
    variable = _variable(settings_class, name, field)
    remedy = f"; {field.description}" if field is not None and field.description else ""
    kind, message = _told(problem)
    if kind == "missing":
        return f"{variable} is not set{remedy}"
    return f"{variable} is not usable: {message}{remedy}"


def _told(problem: object) -> tuple[str, str]:
    detail = dict(problem) if isinstance(problem, dict) else {}
    message = str(detail.get("msg", problem)).removeprefix("Value error, ")
    return str(detail.get("type", "")), message


def _field_of(settings_class: type[BaseSettings], name: str) -> FieldInfo | None:
    fields = settings_class.model_fields
    if name in fields:
        return fields[name]
    return next((field for field in fields.values() if field.validation_alias == name), None)


def _variable(settings_class: type[BaseSettings], name: str, field: FieldInfo | None) -> str:
    if field is not None and isinstance(field.validation_alias, str):
        return field.validation_alias
    return f"{settings_class.model_config.get('env_prefix', '')}{name}".upper()
