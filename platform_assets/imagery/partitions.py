"""The partitions of the imagery domain: every image is one, and so is every drop of a manifest.

They are linked by keys and metadata only: a custom partition mapping makes the web UI refuse every backfill.
"""

import dagster as dg

images = dg.DynamicPartitionsDefinition(name="images")
"""One partition an image; its key is `partition_key` of the raw object's key."""

manifests = dg.DynamicPartitionsDefinition(name="manifests")
"""One partition a drop of a manifest; its key is the claim's id."""
