"""Workflows of the pipeline."""
