"""``python -m rtsim``: the command line."""

from rtsim.cli import main

if __name__ == "__main__":
    main()
