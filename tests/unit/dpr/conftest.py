"""Conformance with files of the Reference System itself needs them: a folder that GROUNDTRACK_SHARED_DATA names."""

import os

collect_ignore = [] if os.environ.get("GROUNDTRACK_SHARED_DATA") else ["test_reference_files.py", "test_reference_session.py"]
