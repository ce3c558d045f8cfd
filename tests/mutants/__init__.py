"""Mutants: small faults put into the code on purpose, each with the tests that must notice it.

``python -m tests.mutants`` applies them one by one to a temporary copy of this tree, never to the tree itself.
"""
