"""Cards, catalogue, checkpoints and networks."""

# The default of the page and the commands.
DEFAULT_MODEL = "lite0-tdam"
