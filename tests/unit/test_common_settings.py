"""Do settings come from the environment, and is a wrong one a line that says how to mend it?"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import Field

from libs.common.settings import VERSION, CommonSettings, DatabaseSettings, Port, load

SECRET = "a-secret-of-forty-characters-0123456789!"
SERVER = "postgresql://dangol:pw@127.0.0.1:15432/postgres"


class IngestSettings(CommonSettings):
    port: Port = Field(8001, validation_alias="DANGOL_INGEST_PORT")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("DANGOL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DANGOL_DATABASE_URL", SERVER)
    monkeypatch.setenv("DANGOL_TOKEN_SECRET", SECRET)


def refusal(capsys: pytest.CaptureFixture[str], kind: type[DatabaseSettings] = IngestSettings) -> list[str]:
    with pytest.raises(SystemExit) as stopped:
        load(kind)
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_a_service_declares_its_own_port(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(IngestSettings).port == 8001
    monkeypatch.setenv("DANGOL_INGEST_PORT", "9001")
    assert load(IngestSettings).port == 9001


def test_each_service_has_its_own_database_on_the_same_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANGOL_DATABASE_PREFIX", "shop_")
    monkeypatch.setenv("DANGOL_DATABASE_URL", SERVER + "?sslmode=disable")
    url = load(IngestSettings).database_url_of("profile")
    assert url == "postgresql://dangol:pw@127.0.0.1:15432/shop_profile?sslmode=disable"


def test_every_problem_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DANGOL_DATABASE_URL")
    monkeypatch.setenv("DANGOL_PARTITIONS", "0")
    monkeypatch.setenv("DANGOL_INGEST_PORT", "99999")
    lines = refusal(capsys)
    assert len(lines) == 3
    assert any("DANGOL_DATABASE_URL is not set; set it to" in line for line in lines)
    assert any("DANGOL_PARTITIONS is not usable" in line and "1 to 1024" in line for line in lines)
    assert any("DANGOL_INGEST_PORT is not usable" in line for line in lines)


def test_a_missing_secret_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DANGOL_TOKEN_SECRET")
    (line,) = refusal(capsys)
    assert "DANGOL_TOKEN_SECRET is not set" in line and "token_urlsafe" in line


@pytest.mark.parametrize("weak", ["short", "x" * 40, "abababababababababababababababababab"])
def test_a_weak_secret_is_refused_without_repeating_it(
    weak: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DANGOL_TOKEN_SECRET", weak)
    (line,) = refusal(capsys)
    assert "DANGOL_TOKEN_SECRET" in line and weak not in line


def test_a_password_is_neither_in_a_refusal_nor_in_the_settings_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "pw@" not in repr(load(IngestSettings)) and SECRET not in repr(load(IngestSettings))
    monkeypatch.setenv("DANGOL_DATABASE_URL", "mysql://dangol:pw@127.0.0.1/x")
    (line,) = refusal(capsys)
    assert "postgresql://" in line and "pw@" not in line


def test_retired_secrets_still_verify_and_the_newest_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANGOL_TOKEN_SECRETS_PREVIOUS", f" {SECRET[::-1]} ,")
    assert load(IngestSettings).token_secrets == (SECRET, SECRET[::-1])


def test_migrations_need_no_token_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DANGOL_TOKEN_SECRET")
    assert load(DatabaseSettings).database_url_of("rules").endswith("/dangol_rules")


def test_two_processes_have_two_instance_ids() -> None:
    assert load(IngestSettings).instance_id != load(IngestSettings).instance_id


def test_the_version_is_the_one_of_the_project() -> None:
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == VERSION
