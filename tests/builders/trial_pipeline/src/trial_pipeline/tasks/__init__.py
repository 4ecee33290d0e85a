from trial_pipeline.tasks.infrastructure import Fail, NoOp, Publish, SubmitMetadata, TransferInput, TransferOutput
from trial_pipeline.tasks.science import (
    AssembleMovie,
    AssembleQuality,
    Calibrate,
    MakeMovieFrames,
    ParseInput,
    QualityL0,
    QualityL1,
    WriteL1,
)

__all__ = [
    "AssembleMovie",
    "AssembleQuality",
    "Calibrate",
    "Fail",
    "MakeMovieFrames",
    "NoOp",
    "ParseInput",
    "Publish",
    "QualityL0",
    "QualityL1",
    "SubmitMetadata",
    "TransferInput",
    "TransferOutput",
    "WriteL1",
]
