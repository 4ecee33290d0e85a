"""The workflows of the sample instrument: a diamond with several queues and extras, and one that misbehaves."""

from instrument.tasks import Behave, Combine, Dark, Flat, Nothing, Parse
from platform_assets.workflows.sdk import ResourceQueue, Workflow

calibrate = Workflow(input_data="raw", output_data="l1", category="camera", workflow_package=__package__, tags=["sample"])
calibrate.add_node(task=Parse)
calibrate.add_node(task=Flat, upstreams=Parse, resource_queue=ResourceQueue.HIGH_MEMORY)
calibrate.add_node(task=Dark, upstreams=[Parse], pip_extras=["fast"])
calibrate.add_node(task=Combine, upstreams=[Flat, Dark])

misbehave = Workflow(input_data="raw", output_data="trouble", category="camera", workflow_package=__package__)
misbehave.add_node(task=Behave)
misbehave.add_node(task=Nothing, upstreams=Behave)
