"""What does a foreign document mean in our words? Mappings: documents that say which events are in it."""

from services.ingest.mapping.document import CompiledMapping, compile_mapping

__all__ = ["CompiledMapping", "compile_mapping"]
