"""The composition root: the only module that imports every room."""

import warnings
from typing import Any

import dagster as dg

from platform_assets.imagery.assets import imagery
from platform_assets.imagery.jobs import image_batch
from platform_assets.imagery.specs import image_manifest, manifest_report, raw_image
from platform_assets.sar.assets import sar
from platform_assets.sar.jobs import l1b_batch
from platform_assets.sar.specs import safe
from resources.archive import Archive, ObjectStore
from resources.dask_cluster import DaskCluster
from resources.image_archive import ImageArchive
from resources.safe_archive import SafeArchive
from resources.settings import Settings, load
from sensors.manifests import manifest_sensor
from sensors.safes import safe_sensor

# Dagster warns of a parameter that it passes to its own sensors itself, twice a sensor, on every user's terminal.
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDefinition", category=dg.BetaWarning)


def build_definitions(settings: Settings, resources: dict[str, object] | None = None) -> dg.Definitions:
    """Return the code location of a deployment.

    Args:
        settings: The deployment's settings.
        resources: Resources that replace the deployment's own, by name: `archive`, `safe_archive`, `dask`.
    """
    return dg.Definitions(
        assets=[raw_image, image_manifest, imagery, manifest_report, safe, sar],
        jobs=[image_batch, l1b_batch],
        sensors=[manifest_sensor(settings.sensor_interval_s), safe_sensor(settings.sensor_interval_s)],
        resources={
            "archive": image_archive(settings),
            "safe_archive": safe_archive(settings),
            "dask": dask_cluster(settings),
            **(resources or {}),
        },
        # The engine fans out on Dask inside one step; a process a step would only cost its start.
        executor=dg.in_process_executor,
    )


def image_archive(settings: Settings) -> ImageArchive:
    """Return the imagery domain's view of a deployment."""
    return ImageArchive(
        **_archive(settings),
        input_prefix=settings.input_prefix,
        manifest_pattern=settings.manifest_pattern,
        manifest_grace_s=settings.manifest_grace_s,
        manifest_bytes=settings.manifest_bytes,
        profile=settings.profile.value,
        overview_resampling=settings.overview_resampling,
        jpeg_quality=settings.jpeg_quality,
        thumbnail_px=settings.thumbnail_px,
        limits={
            "file_bytes": settings.max_file_bytes,
            "pixels": settings.max_pixels,
            "decoded_bytes": settings.max_decoded_bytes,
            "bands": settings.max_bands,
            "block_bytes": settings.max_block_bytes,
            "expansion": settings.max_expansion,
        },
    )


def safe_archive(settings: Settings) -> SafeArchive:
    """Return the sar domain's view of a deployment."""
    return SafeArchive(
        **_archive(settings),
        safe_prefix=settings.safe_prefix,
        institution=settings.institution,
        resolution_m=settings.sar_resolution_m,
        process=settings.sar_process,
        options=settings.sar_options,
        land=settings.sar_land,
    )


def _archive(settings: Settings) -> dict[str, Any]:
    """Return what every domain's view of a deployment has in common."""
    store = ObjectStore(endpoint_url=settings.s3_endpoint_url or None, region_name=settings.s3_region or None)
    return {"store": store} | {name: getattr(settings, name) for name in Archive.model_fields if name in type(settings).model_fields}


def dask_cluster(settings: Settings) -> DaskCluster:
    """Return where a deployment's Dask workers come from."""
    return DaskCluster(
        kind=settings.dask_kind,
        address=settings.dask_address,
        name=settings.dask_name,
        workers=settings.dask_workers,
        maximum=settings.dask_maximum,
        options=settings.dask_options,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location, from environment variables and `.env`."""
    return build_definitions(load())
