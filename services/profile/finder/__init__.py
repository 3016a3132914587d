"""Who looks for people who are in two? Parts that live as long as the process, around what `duplicates` decides.

meeting   whom a record might be one with, from the index
looking   a handful of records that have changed: looked at, linked, or asked about
rounds    who looks next, and again at everybody
pace      how much of a process may go into it
lessons   the weights in force, and how new ones are learned
"""
