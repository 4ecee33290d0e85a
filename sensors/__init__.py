"""Thin ticks over pure decisions: what has arrived, what to run, what to run again."""
