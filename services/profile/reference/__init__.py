"""Reference data: products, places and staff, as events are joined with them when they are resolved."""

from services.profile.reference.catalogue import Branch, Catalogue, Product

__all__ = ["Branch", "Catalogue", "Product"]
