"""Cards, catalogue, checkpoints and networks."""

# What the page and the commands take where nothing is chosen.
DEFAULT_MODEL = "lite0-tdam"
