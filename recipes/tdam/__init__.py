"""TDAM's own task: each step names a picture of the view that no step before has named; the first is plain Lite0."""
