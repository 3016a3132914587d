"""How does Alembic run a service's migrations? One environment for all of them."""
