"""What is each process of the stack told through its environment?"""

from deploy.local import addresses, places
from deploy.local.credentials import Secrets
from deploy.local.settings import environment


def of_services(database_url: str, kafka_bootstrap: str, secrets: Secrets) -> dict[str, str]:
    """Whatever the person has set already is left as it is."""
    ours = {
        "DANGOL_DATABASE_URL": database_url,
        "DANGOL_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "DANGOL_TOKEN_SECRET": secrets.token_secret,
        "DANGOL_RECEIPT_SECRET": secrets.receipt_secret,
        "DANGOL_WRITE_KEYS_FILE": str(places.CREDENTIALS),
        "DANGOL_CREDENTIALS_FILE": str(places.CREDENTIALS),
        "DANGOL_DEMO": "1",
        # Every unit costs its own fetches and transactions; more of them than this do not help two cores.
        "DANGOL_PARTITIONS": "4",
        "DANGOL_PUBLIC_URL": addresses.NOTIFY.url,
        "DANGOL_NOTIFY_URL": addresses.NOTIFY.url,
        "DANGOL_DEMO_SMTP_PORT": str(addresses.SMTP.port),
        "DANGOL_DEMO_GATEWAY_PORT": str(addresses.GATEWAY.port),
        # Backtests of rules ask campaign what its gates would have done.
        "DANGOL_CAMPAIGN_URL": addresses.CAMPAIGN.url,
        "DANGOL_CAMPAIGN_TOKEN_FILE": str(places.RULES_TOKEN),
        "DANGOL_PROVIDER_LEDGER": str(places.PROVIDER_LEDGER),
        "PYTHONUNBUFFERED": "1",
        # Threads of the runtime would otherwise each keep a heap of their own.
        "MALLOC_ARENA_MAX": "2",
    }
    return {
        **ours,
        **{address.variable: str(address.port) for address in addresses.SERVICES},
        **environment(),
    }
