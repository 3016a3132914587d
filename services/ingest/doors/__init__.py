"""By which doors do events come in? Each knows one way of speaking; the front decides which one is asked."""
