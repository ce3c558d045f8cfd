"""The trainings that made ``checkpoints/``; not part of the wheel, and nothing in `viz` imports them.

Two tasks on frozen EfficientNet-Lite0, with one command line: `recipes.clutter` (four bottom-up families learn to
classify a small picture in clutter) and `recipes.tdam` (a searchlight learns to name the other object of a collage).
"""
