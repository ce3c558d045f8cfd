"""The trainings that made ``checkpoints/``; not part of the wheel, and nothing in `viz` imports it.

Two tasks on frozen EfficientNet-Lite0, with one command line: `recipes.clutter` (four bottom-up families learn to name
a small picture among clutter) and `recipes.tdam` (a searchlight learns to name the other object of a collage).
"""
