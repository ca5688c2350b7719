"""``python -m rtsim``: the command line."""

from rtsim.cli import main

main()
