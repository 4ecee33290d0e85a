"""Python environments by content, and processes that run in them and see nothing of ours; shared by the domains."""
