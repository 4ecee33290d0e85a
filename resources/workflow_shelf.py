"""The manifests of a deployment: in a folder, or under a prefix of a bucket, of which the home then has a copy."""

from pathlib import Path

from platform_assets.common.errors import ConfigurationError
from platform_assets.workflows.shelf import mirror
from resources.settings import Settings

_S3 = "s3://"


def has_copy(settings: Settings) -> bool:
    """Whether the manifests are in a bucket."""
    return settings.workflows_manifests.startswith(_S3)


def manifests_folder(settings: Settings) -> Path:
    """Return the folder in which the manifests are, or in which their copies are."""
    if has_copy(settings):
        return settings.home.resolve() / "workflows" / "manifests-copy"
    return Path(settings.workflows_manifests or settings.home / "workflows" / "manifests").resolve()


def fetch_manifests(settings: Settings) -> None:
    """Bring the copy up to date, where there is one.

    Raises:
        ConfigurationError: The place is no `s3://bucket/prefix`.
        StoreUnavailable: The store does not answer; what was there last time stays.
    """
    if not has_copy(settings):
        return
    bucket, _, prefix = settings.workflows_manifests.removeprefix(_S3).partition("/")
    if not bucket:
        raise ConfigurationError(f"{settings.workflows_manifests} names no bucket", remedy="Correct GROUNDTRACK_WORKFLOWS_MANIFESTS.")
    mirror(settings.s3.bucket(bucket), prefix, manifests_folder(settings))
