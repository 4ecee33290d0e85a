"""The partitions of the dpr domain: every session and every version of a request is one, also while something is missing."""

import dagster as dg

sessions = dg.DynamicPartitionsDefinition(name="dpr_sessions")
"""One partition a downlink session; its key is the session's id."""

requests = dg.DynamicPartitionsDefinition(name="dpr_requests")
"""One partition a version of a processing request; its key is `naming.request_id`."""
