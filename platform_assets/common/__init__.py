"""Value types and rules every room shares; no Dagster, no network, no environment, no clock."""
