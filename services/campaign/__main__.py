"""`python -m services.campaign` runs the service."""

from libs.common.runtime import run
from services.campaign.app import build
from services.campaign.settings import CampaignSettings

if __name__ == "__main__":
    run("campaign", CampaignSettings, build)
