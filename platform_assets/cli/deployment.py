"""What a command works on: the settings, and the platform that runs on them, if one does."""

import os
from dataclasses import dataclass
from pathlib import Path

from platform_assets.cli.supervisor import Running, running
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


def find_deployment(home: Path | None = None) -> Deployment:
    """Return the deployment that the environment, `.env` and the home describe; a platform that runs lends its endpoint and keys.

    Raises:
        ConfigurationError: A setting is malformed or contradicts another.
    """
    settings = load(**({"home": home} if home else {}))
    platform = running(settings.home)
    if platform:
        os.environ.update(platform.environment)
        settings = load()
    return Deployment(settings, settings.s3, platform)
