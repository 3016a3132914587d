"""What do the calls of Segment's and RudderStack's clients mean here? Pure: bytes of a request in, verdicts out."""
