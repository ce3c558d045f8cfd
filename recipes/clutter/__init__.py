"""The clutter task: name a small picture pasted into a street scene; ordinary pictures keep plain Lite0's answer."""
