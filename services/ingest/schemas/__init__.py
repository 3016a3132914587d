"""What may an event of each type hold, and what is counted when it does not?"""
