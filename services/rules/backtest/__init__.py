"""What would a rule have done? The live engine's heart over the history topic, in a process of its own.

simulation   the log in, a report out; `engine`, `memory`, `waking`, `interest`, `reach` and `tally` are its parts
__main__     the process of one job: told on its input what to do, tells on its output how far it is
jobs         which jobs run in this process of the service, and what becomes of those whose process is gone
confining    what bounds that process from outside: memory, and the life of its service
store        the jobs and their results
"""
