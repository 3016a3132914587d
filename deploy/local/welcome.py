"""What does a person see when everything runs?"""

from deploy.local import addresses, places
from deploy.local.credentials import Credentials

# A purchase that makes one of the demo's rules fire. The shell fills in the time, and with it a fresh id.
PURCHASE = (
    '{"id":"try-\'$(date +%s)\'","source":"store-001/pos-1","channel":"pos","type":"purchase",'
    '"time":"\'$(date -u +%Y-%m-%dT%H:%M:%SZ)\'","identifiers":{"loyalty_card":"8801-0001"},'
    '"branch":"gangnam","data":{"amount":180000,"currency":"KRW",'
    '"items":[{"sku":"stroller","category":"baby","quantity":1,"price":180000}]}}'
)


def text(credentials: Credentials, seconds: float) -> str:
    viewer = credentials.tokens["viewer"]
    inbox = f"{addresses.NOTIFY.url}/v1/inbox"
    services = "\n".join(f"    {a.name:<10}{a.url}/docs" for a in addresses.SERVICES)
    return f"""
Ready in {seconds:.1f} s. Ctrl-C stops, state is kept; `make reset` removes it.

{services}

  Every message lands in the inbox, nobody is contacted:

    curl -s {inbox} -H 'Authorization: Bearer {viewer}'

  Make something happen (paste it; then look into the inbox):

    curl -s {addresses.INGEST.url}/v1/events \\
      -H 'Authorization: Bearer {credentials.write_keys["pos"]}' -H 'Content-Type: application/json' \\
      -d '{PURCHASE}'

  Keys and tokens: {places.CREDENTIALS}   Logs: {places.LOG}/
"""
