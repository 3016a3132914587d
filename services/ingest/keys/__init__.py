"""What may the holder of a write key send, and as whom?"""
