"""Where do the demo providers listen, what do they write, and whom do they tell?"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.common.settings import Port
from services.notify import signing


class ProviderSettings(BaseSettings):
    """`faults` is JSON such as {"sms": {"mode": "429", "times": 3}}; see `faults.py`."""

    model_config = SettingsConfigDict(env_prefix="DANGOL_", extra="ignore", frozen=True, populate_by_name=True)

    host: str = "127.0.0.1"
    demo_smtp_port: Port = 18025
    demo_gateway_port: Port = 18080
    provider_ledger: Path = Path(".local/providers/ledger.jsonl")
    provider_faults: str = "{}"
    notify_url: str = "http://127.0.0.1:8005"
    receipt_secret: SecretStr = SecretStr("")
    token_secret: SecretStr = SecretStr("")
    receipt_delay_seconds: float = Field(0.3, ge=0, validation_alias="DANGOL_RECEIPT_DELAY_SECONDS")
    idempotency_seconds: float = Field(86_400.0, ge=0, validation_alias="DANGOL_PROVIDER_IDEMPOTENCY_SECONDS")

    @property
    def receipt_key(self) -> bytes:
        """As notify has it: its own secret, or the one that follows from the token secret; empty sends no receipts."""
        own, token = self.receipt_secret.get_secret_value(), self.token_secret.get_secret_value()
        if own:
            return own.encode()
        return signing.derive(token.encode(), "receipt") if token else b""
