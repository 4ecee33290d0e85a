"""Versioned workflows: what scientists write tasks in, its export, and tasks run each in an environment of its own."""
