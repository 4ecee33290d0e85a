"""The dpr domain's view of a deployment: its buckets, its configuration documents, and what runs payloads."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from platform_assets.common.errors import ConfigurationError, GroundtrackError, MissingInput, PermanentError
from platform_assets.dpr.documents import LIMIT_BYTES
from platform_assets.dpr.errors import MissingSecret, SecretInClear
from platform_assets.dpr.fetch import FetchShop
from platform_assets.dpr.model import Source
from platform_assets.dpr.processors import Processor
from platform_assets.dpr.secrets import in_clear
from platform_assets.dpr.staging import Staging
from platform_assets.dpr.staging_catalogue import StagingCatalogue
from platform_assets.dpr.stations import StationConfig, read_stations
from platform_assets.dpr.storage import BucketRule, ObjectStore, Storage, default_storage, read_bucket_rules, read_storage
from platform_assets.dpr.systematic import find_rules
from platform_assets.dpr.tasktable import read_task_table
from platform_assets.dpr.workshop import Workshop
from resources.archive import Archive
from resources.auxip import station_clients
from resources.cadip import CadipStation
from resources.object_store import S3Connection
from resources.processors import make_processor
from resources.station_login import login

_SECRETS = "Define it in the environment, or in `.env`, of whatever starts the Dask workers."


@dataclass(frozen=True)
class WorkerSecrets(Mapping[str, str]):
    """What references stand for, where it is looked up: the deployment's S3 credentials, else the worker's own environment.

    Attributes:
        connection: How the deployment reaches its object store; its credentials are never shown.
    """

    connection: S3Connection = field(repr=False)

    def __getitem__(self, name: str) -> str:
        return self._own().get(name) or os.environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**os.environ, **self._own()})

    def __len__(self) -> int:
        return len(set(self))

    def _own(self) -> dict[str, str]:
        found = self.connection
        named = {
            "AWS_ACCESS_KEY_ID": found.access_key_id,
            "AWS_SECRET_ACCESS_KEY": found.secret_access_key,
            "AWS_SESSION_TOKEN": found.session_token,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class Configuration:
    """What a deployment's documents say.

    Attributes:
        storage: Where products are stored; secrets are references.
        bucket_rules: Which bucket they go to.
        stations: Where sessions and auxiliary files come from.
    """

    storage: Storage
    bucket_rules: tuple[BucketRule, ...]
    stations: tuple[StationConfig, ...] = ()


class DprArchive(Archive):
    """Sessions, requests and task tables in one bucket, auxiliary files and products in another."""

    session_prefix: str = Field(description="Downlink sessions are looked for under this prefix.")
    session_deadline_s: float = Field(description="How long a session may lack something before it is reported.")
    request_prefix: str = Field(description="Processing requests are looked for under this prefix.")
    dpr_prefix: str = Field(description="Task tables, storage, bucket rules, stations and systematic rules lie under this prefix.")
    request_grace_s: float = Field(description="How long a request waits for what it processes.")
    ui_url: str = Field(description="The web UI's address; empty when it is not known.")
    environments: str = Field(description="Folder of the processors' Python environments, on each worker's machine.")
    processors: dict[str, Any] = Field(description="What runs the payloads of each processor; `*` for all others.")

    def storage(self) -> Storage:
        """Return where products are stored: as `storage.json` says, else all in the deployment's object store.

        Raises:
            SecretInClear: The document has a secret itself, not a reference to it.
            MalformedStorage: It is none.
        """
        data = self.document("storage.json")
        if data is None:
            return self.defaults().storage
        storage = read_storage(data, self._place("storage.json"))
        for name, store in storage.stores.items():
            if isinstance(store, ObjectStore) and (places := in_clear(store.options)):
                raise SecretInClear(f"{self._place('storage.json')}: storage {name} has a secret in clear: {places[0]}")
        return storage

    def bucket_rules(self) -> tuple[BucketRule, ...]:
        """Return which bucket products go to: as `buckets.json` says, else all to the output bucket.

        Raises:
            MalformedStorage: The document is none.
        """
        data = self.document("buckets.json")
        if data is None:
            return self.defaults().bucket_rules
        return read_bucket_rules(data, self._place("buckets.json"))

    def document(self, name: str) -> bytes | None:
        """Return one of the deployment's documents under the prefix, or None when there is none."""
        try:
            return self.source.read(f"{self.dpr_prefix}{name}", limit_bytes=LIMIT_BYTES)[0]
        except MissingInput:
            return None

    def defaults(self) -> Configuration:
        """Return the configuration of a deployment that has no documents."""
        connection = self.connection
        storage = default_storage(connection.endpoint_url, connection.region)
        return Configuration(storage, (BucketRule("*", "*", "*", "", self.output_bucket),))

    def configuration(self) -> Configuration:
        """Return what the deployment's documents say now.

        Raises:
            ConfigurationError: One of them breaks a rule.
            PermanentError: One of them is no document.
        """
        return Configuration(self.storage(), self.bucket_rules(), self.stations())

    def cadip_stations(self) -> dict[str, StationConfig]:
        """Return the CADIP stations, by name: as `stations.json` says, else none.

        Raises:
            MalformedStations: The document breaks a rule.
        """
        return {station.name: station for station in self.stations() if station.source is Source.CADIP}

    def stations(self) -> tuple[StationConfig, ...]:
        """Return the stations: as `stations.json` says, else none.

        Raises:
            MalformedStations: The document breaks a rule.
        """
        data = self.document("stations.json")
        return read_stations(data, self._place("stations.json")) if data else ()

    def problems(self) -> Iterator[GroundtrackError]:
        """Yield what is wrong with the deployment's documents, and which secrets of its stations are not defined here.

        Raises:
            StoreUnavailable: The store cannot answer.
        """
        tables = [partial(self._read_table, ref.key) for ref in self.source.list(f"{self.dpr_prefix}tasktables/", ending=(".json",))]
        reads: list[Callable[[], object]] = [self.storage, self.bucket_rules, self._log_in, *tables]
        for read in reads:
            try:
                read()
            except (ConfigurationError, PermanentError) as error:
                yield error
        for _, rule in find_rules(self.source, f"{self.dpr_prefix}rules/"):
            if isinstance(rule, PermanentError):
                yield rule

    def _read_table(self, key: str) -> None:
        read_task_table(self.source.read(key, limit_bytes=LIMIT_BYTES)[0], f"s3://{self.input_bucket}/{key}")

    def _log_in(self) -> None:
        """Look up, but do not send, the credentials of all stations."""
        for station in self.stations():
            try:
                login(station, self.secrets())
            except MissingSecret as error:
                raise MissingSecret(f"{self._place('stations.json')}: {station.name}: {error}", remedy=_SECRETS) from None

    def secrets(self) -> WorkerSecrets:
        """Return what references stand for."""
        return WorkerSecrets(self.connection)

    def fetch_shop(self) -> FetchShop:
        """Return what all sessions that are fetched have in common, with the credentials of this moment."""
        connection = self.connection.with_credentials()
        source = connection.bucket(self.input_bucket)
        return FetchShop(source, self.session_prefix, self.cadip_stations(), WorkerSecrets(connection), CadipStation)

    def workshop(self, configuration: Configuration, run_id: str) -> Workshop:
        """Return what all requests of a batch have in common, with the credentials of this moment."""
        connection = self.connection.with_credentials()
        secrets = WorkerSecrets(connection)
        target = connection.bucket(self.output_bucket)
        return Workshop(
            source=connection.bucket(self.input_bucket),
            target=target,
            prefix=self.output_prefix,
            open_bucket=connection.bucket,
            catalogue=StagingCatalogue(Staging(target, self.output_prefix, run_id), station_clients(configuration.stations, secrets)),
            processor=self._processor(connection, secrets),
            secrets=secrets,
            storage=configuration.storage,
            rules=configuration.bucket_rules,
            run_id=run_id,
            run_url=f"{self.ui_url}/runs/{run_id}" if run_id and self.ui_url else "",
        )

    def _processor(self, connection: S3Connection, secrets: Mapping[str, str]) -> Processor:
        return make_processor(self.processors, connection, secrets, Path(self.environments))

    def _place(self, name: str) -> str:
        return f"s3://{self.input_bucket}/{self.dpr_prefix}{name}"
