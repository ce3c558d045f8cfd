"""TDAM's own task: in a collage of two pictures, classify the one that plain Lite0 does not name."""
