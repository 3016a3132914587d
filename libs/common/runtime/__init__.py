"""How does a service process live and die? What an `app.py` and a `__main__.py` need."""

from libs.common.runtime.parts import App, Background, Component, Mortal, Recurring
from libs.common.runtime.process import loop_factory, run, serve

__all__ = ["App", "Background", "Component", "Mortal", "Recurring", "loop_factory", "run", "serve"]
