"""Definitions that cannot be loaded."""

raise RuntimeError("these definitions are broken on purpose")
