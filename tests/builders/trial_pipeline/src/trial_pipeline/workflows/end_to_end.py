"""All tasks, from the transfer in to the publication."""

from dkist_processing_common.tasks import Teardown
from dkist_processing_core import ResourceQueue, Workflow

from trial_pipeline.tasks import (
    AssembleMovie,
    AssembleQuality,
    Calibrate,
    MakeMovieFrames,
    ParseInput,
    Publish,
    QualityL0,
    QualityL1,
    SubmitMetadata,
    TransferInput,
    TransferOutput,
    WriteL1,
)

end_to_end = Workflow(
    input_data="input",
    output_data="output",
    category="trial",
    detail="management-processes-e2e",
    workflow_package=__package__,
    tags=["management", "e2e"],
)
end_to_end.add_node(task=TransferInput, upstreams=None)

# Science
end_to_end.add_node(task=ParseInput, upstreams=TransferInput)
end_to_end.add_node(task=Calibrate, resource_queue=ResourceQueue.HIGH_MEMORY, upstreams=ParseInput)
end_to_end.add_node(task=WriteL1, resource_queue=ResourceQueue.MULTI_CORE, upstreams=Calibrate, pip_extras=["asdf"])

# Movie
end_to_end.add_node(task=MakeMovieFrames, resource_queue=ResourceQueue.GPU, upstreams=Calibrate)
end_to_end.add_node(task=AssembleMovie, upstreams=MakeMovieFrames)

# Quality
end_to_end.add_node(task=QualityL0, upstreams=ParseInput)
end_to_end.add_node(task=QualityL1, upstreams=Calibrate, pip_extras=["quality"])
end_to_end.add_node(task=AssembleQuality, upstreams=[QualityL0, QualityL1], pip_extras=["quality", "asdf"])

# Output
end_to_end.add_node(task=SubmitMetadata, upstreams=[WriteL1, AssembleQuality])
end_to_end.add_node(task=TransferOutput, upstreams=[WriteL1, AssembleMovie, AssembleMovie])
end_to_end.add_node(task=Publish, upstreams=[TransferOutput, SubmitMetadata])

# Goodbye
end_to_end.add_node(task=Teardown, upstreams=Publish)
