"""The composition root: the only module that imports every room."""

import warnings
from typing import Any

import dagster as dg

from platform_assets.dpr.assets import dpr
from platform_assets.dpr.fetch_job import session_fetch
from platform_assets.dpr.jobs import dpr_request, request_batch
from platform_assets.dpr.specs import request, session
from platform_assets.imagery.assets import imagery
from platform_assets.imagery.jobs import image_batch
from platform_assets.imagery.specs import image_manifest, manifest_report, raw_image
from platform_assets.sar.assets import sar
from platform_assets.sar.jobs import l1b_batch
from platform_assets.sar.specs import safe
from platform_assets.workflows.jobs import declare
from platform_assets.workflows.shelf import read_shelf, tell
from resources.archive import Archive, ObjectStore
from resources.dask_cluster import DaskCluster
from resources.dpr_archive import DprArchive
from resources.image_archive import ImageArchive
from resources.outbox import outbox_of
from resources.processors import environments_folder, make_processor
from resources.safe_archive import SafeArchive
from resources.settings import Settings, load
from resources.workflow_shelf import manifests_folder
from resources.workflow_shop import WorkflowShop
from sensors.manifests import manifest_sensor
from sensors.requests import request_sensor
from sensors.safes import safe_sensor
from sensors.sessions import session_sensor
from sensors.stations import station_sensor
from sensors.task_failures import task_failure_sensor

# Dagster warns of a parameter that it passes to its own sensors itself, twice a sensor, on every user's terminal.
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDefinition", category=dg.BetaWarning)


def build_definitions(settings: Settings, resources: dict[str, object] | None = None) -> dg.Definitions:
    """Return the code location of a deployment.

    Args:
        settings: The deployment's settings.
        resources: Resources that replace the deployment's own, by name: `archive`, `safe_archive`, `dpr_archive`, `dask`, `workflow_shop`.
    """
    workflows = declare(read_shelf(manifests_folder(settings)))
    tell(workflows.problems)
    return dg.Definitions(
        assets=[raw_image, image_manifest, imagery, manifest_report, safe, sar, session, request, dpr, *workflows.assets],
        jobs=[image_batch, l1b_batch, request_batch, dpr_request, session_fetch, *workflows.jobs],
        sensors=[
            manifest_sensor(settings.sensor_interval_s),
            safe_sensor(settings.sensor_interval_s),
            request_sensor(settings.sensor_interval_s),
            session_sensor(settings.sensor_interval_s),
            station_sensor(settings.station_poll_s),
            task_failure_sensor(settings.sensor_interval_s, outbox_of(settings), settings.ui_url),
        ],
        resources={
            "archive": image_archive(settings),
            "safe_archive": safe_archive(settings),
            "dpr_archive": dpr_archive(settings),
            "dask": dask_cluster(settings),
            "workflow_shop": workflow_shop(settings),
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


def dpr_archive(settings: Settings) -> DprArchive:
    """Return the dpr domain's view of a deployment.

    Raises:
        ConfigurationError: The settings name a processor that there is not.
    """
    environments = environments_folder(settings)
    make_processor(settings.dpr_processors, settings.s3, {}, environments)
    return DprArchive(
        **_archive(settings) | {"item_time_limit_s": settings.dpr_time_limit_s},
        session_prefix=settings.session_prefix,
        session_deadline_s=settings.session_deadline_s,
        request_prefix=settings.request_prefix,
        dpr_prefix=settings.dpr_prefix,
        request_grace_s=settings.request_grace_s,
        ui_url=settings.ui_url,
        environments=str(environments),
        processors=settings.dpr_processors,
    )


def _archive(settings: Settings) -> dict[str, Any]:
    """Return what every domain's view of a deployment has in common."""
    store = ObjectStore(endpoint_url=settings.s3_endpoint_url or None, region_name=settings.s3_region or None)
    return {"store": store} | {name: getattr(settings, name) for name in Archive.model_fields if name in type(settings).model_fields}


def workflow_shop(settings: Settings) -> WorkflowShop:
    """Return where a deployment's workflow tasks run."""
    return WorkflowShop(
        folder=str(settings.home.resolve() / "workflows"),
        placement=settings.workflows_placement,
        index_url=settings.workflows_index_url,
        find_links=settings.workflows_find_links.split(),
        no_index=settings.workflows_no_index,
        offline=settings.workflows_offline,
        python=settings.workflows_python,
        cache_bytes=int(settings.workflows_cache_gb * 1e9),
        variables=settings.workflows_variables.split(),
        rollback=settings.workflows_rollback,
        time_limit_s=settings.workflows_time_limit_s or None,
        memory_mb=settings.workflows_memory_mb or None,
        grace_s=settings.workflows_grace_s,
    )


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
