"""Which knobs does notify have, beside those that every service shares?"""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from libs.common.settings import CommonSettings, Port
from services.notify import signing

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Settings(CommonSettings):
    """In demo mode an address that is not set is that of the local providers, and none may lead out of the machine."""

    port: Port = Field(8005, validation_alias="DANGOL_NOTIFY_PORT")
    demo: bool = Field(False, description="use 1 or 0")
    public_url: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#]+)?$",
        description="use the address under which customers reach notify, such as https://m.example.com",
    )

    smtp_host: str = ""
    smtp_port: Port = 0
    smtp_username: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_start_tls: bool = Field(True, description="use 0 only for a server on the same host")
    smtp_sender: str = Field("Dangol <noreply@dangol.invalid>", min_length=3, description="use Name <address>")
    smtp_connections_max: int = Field(16, ge=1, le=500)

    sms_url: str = Field("", pattern=r"^(https?://\S+)?$", description="use the http(s) address of an SMS gateway")
    sms_token: SecretStr = SecretStr("")
    sms_sender: str = ""
    sms_idempotency_seconds: int = Field(
        86_400, ge=0, description="how long the gateway recognises an Idempotency-Key; 0 if it never does"
    )
    http_connections_max: int = Field(64, ge=1, le=1_000)

    webhook_secret: SecretStr = SecretStr("")
    webhook_allowed: str = Field(
        "", description="list host:port of private receivers that may be called all the same, separated by commas"
    )

    tracking_secret: SecretStr = SecretStr("")
    receipt_secret: SecretStr = SecretStr("")

    demo_smtp_port: Port = 18025
    demo_gateway_port: Port = 18080

    provider_timeout_seconds: float = Field(10.0, gt=0, le=120)
    profile_age_seconds_max: float = Field(30.0, gt=0, validation_alias="DANGOL_NOTIFY_PROFILE_AGE_SECONDS_MAX")

    @model_validator(mode="after")
    def _demo_stays_here(self) -> Settings:
        hosts = [self.smtp_host, urlsplit(self.sms_url).hostname or ""]
        if self.demo and any(host and host not in LOOPBACK for host in hosts):
            raise ValueError(
                "DANGOL_DEMO is set and a provider of another host is configured: nobody is contacted in demo mode; "
                "unset DANGOL_DEMO, or unset DANGOL_SMTP_HOST and DANGOL_SMS_URL"
            )
        return self

    @property
    def links_url(self) -> str:
        """What the links in messages begin with."""
        return self.public_url or f"http://127.0.0.1:{self.port}"

    @property
    def smtp_address(self) -> tuple[str, int] | None:
        """Host and port, or None where e-mail is not configured."""
        if self.smtp_host:
            return self.smtp_host, self.smtp_port or 587
        return ("127.0.0.1", self.smtp_port or self.demo_smtp_port) if self.demo else None

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.demo_gateway_port}"

    @property
    def sms_address(self) -> str:
        return self.sms_url or (f"{self.gateway_url}/sms" if self.demo else "")

    @property
    def webhook_demo_url(self) -> str:
        """Where every webhook goes in demo mode, whatever address the customer has; empty otherwise."""
        return f"{self.gateway_url}/webhook" if self.demo else ""

    @property
    def webhooks_allowed(self) -> frozenset[str]:
        named = {entry.strip() for entry in self.webhook_allowed.split(",") if entry.strip()}
        return frozenset(named | ({f"127.0.0.1:{self.demo_gateway_port}"} if self.demo else set()))

    def secret(self, name: str) -> bytes:
        """The secret called `<name>_secret`, or one derived from the token secret where it is not set."""
        own: SecretStr = getattr(self, f"{name}_secret")
        if own.get_secret_value():
            return own.get_secret_value().encode()
        return signing.derive(self.token_secret.get_secret_value().encode(), name)
