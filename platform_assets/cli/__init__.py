"""The `groundtrack` command: starts the platform on this machine, looks after it, and asks it questions."""
