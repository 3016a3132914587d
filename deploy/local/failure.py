"""What does the local stack say when it cannot go on?"""


class StackFailure(Exception):
    """One line a person can act on: what failed, where, and how to mend it."""
