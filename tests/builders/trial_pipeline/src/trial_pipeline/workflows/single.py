"""Workflows of one task."""

from dkist_processing_core import Workflow

from trial_pipeline.tasks import Fail, NoOp

noop = Workflow(input_data="input", output_data="output", category="trial", detail="noop", workflow_package=__package__)
noop.add_node(task=NoOp, upstreams=None)

fail = Workflow(input_data="input", output_data="output", category="trial", detail="fail", workflow_package=__package__)
fail.add_node(task=Fail, upstreams=None)
