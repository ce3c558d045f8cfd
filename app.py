"""Searchlight's page: `python app.py` and open the address it prints."""

from viz.cli import main

if __name__ == "__main__":
    import sys

    sys.exit(main(["serve", *sys.argv[1:]]))
