"""How does a rule that comes into force learn of what was before it? By the log, beside the traffic.

needs      which rules of a new snapshot a unit knows too little of
sources    the documents that a reading needs
unit       what a unit does of its own: it asks, notes what comes in meanwhile, and takes over what the past left
jobs       which questions are answered now, by a process of its own or, where little is to be read, beside the service
reading    the log into what the past left; `__main__` is the process of it
progress   how far it is, for those who look at a rule
store      the questions, what the past left, and what came in meanwhile
"""
