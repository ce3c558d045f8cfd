"""The clutter task: classify a small picture in a street scene; ordinary pictures keep plain Lite0's answer."""
