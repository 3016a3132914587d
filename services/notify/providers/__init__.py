"""By what does a message leave the house? One port, a provider per channel."""
