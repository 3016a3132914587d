"""How are the demo providers run? By `python -m deploy.local.providers`, until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys

from aiohttp import web

from deploy.local.providers.faults import Faults
from deploy.local.providers.gateway import Gateway
from deploy.local.providers.ledger import Ledger
from deploy.local.providers.receipts import Receipts
from deploy.local.providers.settings import ProviderSettings
from deploy.local.providers.smtp import Inbox, serve
from libs.common import logs
from libs.common.settings import load


async def run(settings: ProviderSettings) -> int:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    ledger = Ledger(settings.provider_ledger)
    faults = Faults(settings.provider_faults)
    receipts = Receipts(settings.notify_url, settings.receipt_key, settings.receipt_delay_seconds)
    gateway = Gateway(ledger, receipts, faults, settings.idempotency_seconds)
    runner = web.AppRunner(gateway.application(), access_log=None, shutdown_timeout=1.0)
    await receipts.start()
    await runner.setup()
    try:
        mail = await serve(settings.host, settings.demo_smtp_port, Inbox(ledger, receipts, faults))
        site = web.TCPSite(runner, settings.host, settings.demo_gateway_port)
        await site.start()
    except OSError as error:
        sys.stderr.write(
            f"error: demo providers: {error.strerror or error}; "
            "set DANGOL_DEMO_SMTP_PORT or DANGOL_DEMO_GATEWAY_PORT to a free port\n"
        )
        await runner.cleanup()
        await receipts.stop()
        return 1
    logs.get("providers").info("ready", smtp=settings.demo_smtp_port, gateway=settings.demo_gateway_port)
    await stop.wait()
    mail.close()
    await runner.cleanup()
    await receipts.stop()
    ledger.close()
    return 0


def main() -> int:
    settings = load(ProviderSettings)
    logs.configure("providers", "info")
    return asyncio.run(run(settings))


if __name__ == "__main__":
    raise SystemExit(main())
