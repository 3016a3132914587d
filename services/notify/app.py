"""Where are the parts of the notify service made and joined? Here, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI

from libs.common import operations
from libs.common.auth import Authenticator
from libs.common.crashpoints import CrashPoints
from libs.common.db import Database
from libs.common.documents import SnapshotWatcher
from libs.common.documents.reviewing import ApprovalPolicy
from libs.common.events import CHANNELS_OF_CONTACT
from libs.common.footing import Footing
from libs.common.metrics import Metrics
from libs.common.runtime import App
from libs.common.topics import CONTACT_REQUESTED, MESSAGE_SETTLED, NOTIFY_ERASED, PROFILE_UPDATED, RESPONSE_RECEIVED
from libs.common.unit import Input, WorkerSpec
from libs.common.web import create_app
from services.notify import __doc__ as door_plate
from services.notify.api import messages, public, tasks, templates
from services.notify.claiming import Claimer
from services.notify.content import Links, Shelf, compile_all
from services.notify.handlers import Handlers
from services.notify.providers.calls import CallQueue
from services.notify.providers.mail import Mail
from services.notify.providers.port import NotConfigured, Provider
from services.notify.providers.web import Sms, Webhook
from services.notify.sender import Limits, Sender, Senders
from services.notify.settings import Settings
from services.notify.store.responses import WORKER

DATABASE_CONNECTIONS = 20


async def build(settings: Settings) -> App:
    handlers = Handlers()

    def wake_senders() -> None:
        senders.wake(handlers.planned)
        handlers.planned.clear()

    footing = Footing("notify", settings, connections=DATABASE_CONNECTIONS, after_batch=wake_senders)
    database, metrics = footing.database, footing.metrics
    shelf = SnapshotWatcher(templates.KIND, database.connection, compile_all, metrics)
    senders = _senders(settings, database, shelf, metrics)
    worker = footing.worker(spec_of(handlers))

    async def readiness() -> Sequence[str]:
        return [*shelf.problems(), *await footing.problems()]

    web = create_app(
        "notify",
        authenticator=Authenticator(settings.token_secrets),
        metrics=metrics,
        readiness=readiness,
        description=door_plate or "",
    )
    _add_routes(web, settings, database, shelf)
    web.include_router(operations.make_router(footing))
    return App(web, resources=footing.resources, components=[shelf], work=[senders, worker])


def spec_of(handlers: Handlers) -> WorkerSpec:
    return WorkerSpec(
        WORKER,
        # Profiles first: what a batch brings of both is sent on the newer knowledge.
        inputs=[
            Input(PROFILE_UPDATED, handlers.on_profiles, on_erased=handlers.on_erased),
            Input(CONTACT_REQUESTED, handlers.on_contacts),
        ],
        outputs=[RESPONSE_RECEIVED, MESSAGE_SETTLED, NOTIFY_ERASED],
        on_timers=handlers.on_timers,
    )


def _add_routes(web: FastAPI, settings: Settings, database: Database, shelf: SnapshotWatcher[Shelf]) -> None:
    web.include_router(messages.router(database, demo=settings.demo))
    web.include_router(templates.router(database, shelf, ApprovalPolicy(settings.approval_above_percent)))
    web.include_router(tasks.router(database))
    web.include_router(public.receipts(database, settings.secret("receipt")))
    web.include_router(public.tracking(database, settings.secret("tracking")))


def providers_of(settings: Settings, database: Database) -> dict[str, Provider]:
    """One per channel; a channel that nobody configured has one that says so."""
    made: dict[str, Provider] = {channel: NotConfigured(channel) for channel in CHANNELS_OF_CONTACT}
    seconds, connections = settings.provider_timeout_seconds, settings.http_connections_max
    if settings.smtp_address is not None:
        made["email"] = Mail(
            *settings.smtp_address,
            settings.smtp_sender,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value(),
            start_tls=settings.smtp_start_tls and not settings.demo,
            timeout_seconds=seconds,
        )
    if settings.sms_address:
        made["sms"] = Sms(
            settings.sms_address,
            token=settings.sms_token.get_secret_value(),
            sender=settings.sms_sender,
            key_seconds=settings.sms_idempotency_seconds,
            connections_max=connections,
            timeout_seconds=seconds,
        )
    made["webhook"] = Webhook(
        settings.secret("webhook"),
        settings.webhooks_allowed,
        demo_url=settings.webhook_demo_url,
        connections_max=connections,
        timeout_seconds=seconds,
    )
    made["call"] = CallQueue(database)
    return made


def _senders(settings: Settings, database: Database, shelf: SnapshotWatcher[Shelf], metrics: Metrics) -> Senders:
    secret = settings.secret("tracking")

    def links(message_id: str) -> Links:
        return Links(secret, settings.links_url, message_id)

    def templates_now() -> Shelf | None:
        return shelf.current.content if shelf.current is not None else None

    calls_max = {"email": settings.smtp_connections_max, "call": 8}
    # A conversation over SMTP has several turns, each with its own bound.
    seconds_max = {"email": 3 * settings.provider_timeout_seconds}
    made = [
        Sender(
            channel,
            settings.instance_id,
            database,
            provider,
            Claimer(
                channel,
                provider.name,
                provider.key_seconds,
                templates_now,
                links,
                profile_age_seconds_max=settings.profile_age_seconds_max,
            ),
            Limits(
                calls_max.get(channel, settings.http_connections_max),
                seconds_max.get(channel, settings.provider_timeout_seconds),
            ),
            metrics,
            CrashPoints(settings.crashpoints),
        )
        for channel, provider in providers_of(settings, database).items()
    ]
    return Senders(made)
