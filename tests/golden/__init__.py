"""Golden answers of the bundled models: what they said on three photographs on the day the values were stored.

``python -m tests.golden`` makes the two files beside this one again; do it only when an answer is meant to change.
"""
