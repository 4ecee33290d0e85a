"""The batch engine: fans a batch out on Dask, retries by error class, and tells Dagster how every item ended."""
