"""Alembic's entry point, which it runs as a script; the work is in `libs.common.migrations`."""

from libs.common.migrations import run_environment

run_environment()
