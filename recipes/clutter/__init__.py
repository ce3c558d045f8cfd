"""The clutter task: name a picture pasted into clutter of many kinds; ordinary pictures keep plain Lite0's answer."""
