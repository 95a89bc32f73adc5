"""What may be said, and when: the wire types, the methods and the rules of every revision.

Nothing here waits, reads a clock, draws a random number or knows HTTP; it imports no other part of
Headrace but `exceptions`.
"""
