"""What a command works on: the settings, and the platform that runs on them, if one does."""

import os
from dataclasses import dataclass
from pathlib import Path

from platform_assets.cli.services import wants_own_store
from platform_assets.cli.supervisor import Running, running
from platform_assets.common.errors import ConfigurationError
from platform_assets.imagery.claim import Records
from resources.object_store import S3Bucket, S3Connection
from resources.settings import Settings, load


@dataclass(frozen=True)
class Deployment:
    """A deployment as a command finds it.

    Attributes:
        settings: Its settings; with the endpoint of the embedded server when that runs.
        s3: How to reach its object store.
        platform: The platform that runs on its home, or None.
    """

    settings: Settings
    s3: S3Connection
    platform: Running | None = None

    @property
    def source(self) -> S3Bucket:
        """The input bucket."""
        return self.s3.bucket(self.settings.input_bucket)

    @property
    def target(self) -> S3Bucket:
        """The output bucket."""
        return self.s3.bucket(self.settings.output_bucket)

    @property
    def records(self) -> Records:
        """Where claims and outcomes lie."""
        return Records(self.target, self.settings.output_prefix)


def find_deployment(home: Path | None = None, *, needs_store: bool = True) -> Deployment:
    """Return the deployment that the environment, `.env` and the home describe; a platform that runs lends its endpoint and keys.

    Args:
        home: The platform's home; None for that of the settings.
        needs_store: Whether the object store must be there.

    Raises:
        ConfigurationError: A setting is malformed or contradicts another; or the embedded S3 server is meant, and does not run.
    """
    settings = load(**({"home": home} if home else {}))
    platform = running(settings.home)
    if platform:
        os.environ.update(platform.environment)
        settings = load()
    elif needs_store and wants_own_store(settings):
        raise ConfigurationError(
            f"no S3 server is configured, and the embedded one of {settings.home} is not running",
            remedy="Start it: `groundtrack up`; or set GROUNDTRACK_S3_ENDPOINT_URL.",
        )
    return Deployment(settings, settings.s3, platform)
