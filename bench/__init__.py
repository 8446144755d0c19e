"""What the docs claim about speed, runnable: `make bench`."""
