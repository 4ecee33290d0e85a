"""The partitions of the sar domain: every product is one, also while it is not whole."""

import dagster as dg

safes = dg.DynamicPartitionsDefinition(name="safes")
"""One partition a product; its key is the product's name without `.SAFE`."""
