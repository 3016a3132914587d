"""Which customers are probably one person, though nothing proves it? Pure: portraits in, verdicts with evidence out.

portrait    what is compared of a record, in one written form
blocking    which records are worth comparing: keys that an index can hold
comparing   how far two portraits agree, field by field, in a few levels
weights     what each level says for and against; shipped, learned, stored
learning    the weights without any labels, from the records themselves
deciding    merge, look at, or keep apart, and why
grouping    from pairs to people, and from two files to pairs, without chains of mistakes
finding     all of it over a set of portraits that fits into memory
"""
