"""``python -m viz`` is the program ``searchlight``."""

from viz.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
