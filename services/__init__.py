"""The rooms of Dangol; each is a process of its own."""
