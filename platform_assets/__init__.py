"""Groundtrack: partitioned Dagster assets for Earth-observation processing centres."""

__version__ = "0.1.0"
