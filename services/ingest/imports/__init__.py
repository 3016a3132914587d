"""How does a whole file become events? Its upload, its lines, their verdicts, and the runner that goes through them.

A file is stored as it was sent, in pieces, before anybody looks at it; so any process can go on with it, from the line
up to which everything is acknowledged and written down.
"""
