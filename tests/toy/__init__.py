"""A task of its own, as someone would add it: a few files in one folder and a row in TASKS.

It learns which character comes next in lines of text: no labels, no classes, tokens as the unit.
"""
