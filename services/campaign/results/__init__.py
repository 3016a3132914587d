"""Did it work? What the contacted did beyond what those left alone did, how sure that is, and what it earned. Pure."""
