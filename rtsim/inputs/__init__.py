"""What people hand in: files read whole and checked, and the one-line errors they get when something is wrong."""
