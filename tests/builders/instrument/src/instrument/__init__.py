"""A sample instrument package: what a scientist writes for Groundtrack."""
