"""Where under .local does each thing live?"""

from deploy.local.settings import ROOT

LOCAL = ROOT / ".local"
LOG = LOCAL / "log"
RUN = LOCAL / "run"
DATA = LOCAL / "data"
POSTGRES = DATA / "postgres"
KAFKA = DATA / "kafka"
# Programs that were fetched; everything else under .local is state or trace of a run.
KAFKA_PROGRAM = LOCAL / "kafka"
CREDENTIALS = LOCAL / "credentials.json"
SECRETS = LOCAL / "secrets.json"
RULES_TOKEN = LOCAL / "rules.token"
PROVIDER_LEDGER = LOCAL / "providers" / "ledger.jsonl"
VENV = ROOT / ".venv"
