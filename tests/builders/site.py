"""A deployment as a user has it: `groundtrack up` as a process, its buckets, and Dagster asked over the web UI's GraphQL."""

import csv
import io
import json
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from distributed import Client

from platform_assets.common.keys import partition_key
from resources.object_store import S3Bucket, S3Connection
from tests.builders.platform import Up, processes_of
from tests.builders.servers import wait_for

PRODUCTS = ("cog", "jpeg", "thumbnail", "image_item")
_TAIL_LINES = 25


class Site:
    """A home and the platform that runs on it.

    Args:
        home: The platform's home; its parent is the working directory of every command.
        variables: What else is in the platform's environment, such as secrets.
        settings: Settings of the deployment by their names, such as `sensor_interval_s`.
    """

    def __init__(self, home: Path, variables: Mapping[str, str] | None = None, **settings: object) -> None:
        self.home = home
        self.scratch = home.with_name(f"{home.name}-tmp")
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._environment = {f"GROUNDTRACK_{name.upper()}": str(value) for name, value in settings.items()} | {"TMPDIR": str(self.scratch)}
        self._environment |= variables or {}
        self.up = self.start()

    def start(self) -> Up:
        """Start the platform, again after a power cut, and wait until it can be used."""
        self.up = Up(self.home, definitions="platform_assets.definitions", environment=self._environment).wait_until_up()
        return self.up

    def end(self) -> None:
        """Stop the platform as a service manager does; what does not obey is killed."""
        if self.up.process.poll() is None:
            self.up.end(signal.SIGTERM)
        for process in processes_of(self.home):
            process.kill()

    def cut_power(self) -> None:
        """Kill the supervisor and everything that works for it, at once."""
        doomed = [*processes_of(self.home), psutil.Process(self.up.process.pid)]
        for process in doomed:
            process.suspend()
        for process in doomed:
            process.kill()
        self.up.process.wait()
        psutil.wait_procs(doomed, 10)

    def logs(self) -> str:
        """The last lines of the command and of every process, for a test that failed."""
        paths = [self.up.output, *sorted((self.home / "logs").glob("*.log"))]
        return "\n".join(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]) for path in paths)

    # --- the buckets -------------------------------------------------------------------------------------------------

    @property
    def s3(self) -> S3Connection:
        found = self.up.state.environment
        return S3Connection(
            found["GROUNDTRACK_S3_ENDPOINT_URL"], "us-east-1", "", found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]
        )

    @property
    def source(self) -> S3Bucket:
        return self.s3.bucket("raw")

    @property
    def target(self) -> S3Bucket:
        return self.s3.bucket("products")

    def put(self, files: Mapping[str, bytes]) -> None:
        source = self.source
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda file: source.write(*file, content_type="image/tiff"), files.items()))

    def drop(self, key: str, rows: Sequence[Sequence[object]]) -> None:
        """Drop a manifest."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        self.source.write(key, text.getvalue().encode(), content_type="text/csv")

    def items(self, folder: str) -> list[str]:
        """The keys of the items of a folder."""
        catalogue = f"_stac/imagery/{folder}/catalog.json"
        return [ref.key for ref in self.target.list(f"_stac/imagery/{folder}/") if ref.key.endswith(".json") and ref.key != catalogue]

    def reports(self, folder: str) -> list[str]:
        """The keys of the JSON reports of a folder."""
        return [ref.key for ref in self.source.list(f"{folder}/") if "report-" in ref.key and ref.key.endswith(".json")]

    def report(self, folder: str) -> dict[str, Any]:
        """The one JSON report of a folder."""
        [key] = self.reports(folder)
        return dict(json.loads(self.source.read(key, limit_bytes=1 << 30)[0]))

    def read_report(self, key: str) -> dict[str, str]:
        """The state of every image in a JSON report."""
        document = json.loads(self.source.read(key, limit_bytes=1 << 30)[0])
        return {row["key"]: row["state"] for row in document["rows"]}

    def wait_until_settled(self, folder: str, timeout_s: float = 120.0, reports: int = 1) -> None:
        """Wait until every manifest of a folder is over and nothing of it is in work."""

        def settled() -> bool:
            keys = [ref.key for ref in self.source.list(f"{folder}/")]
            waiting = [key for key in keys if key.endswith("raw.csv") or "processing-" in key]
            return not waiting and len(self.reports(folder)) >= reports and self.idle() and not self.busy_dask_workers()

        wait_for(settled, f"settlement of the manifests of {folder}", timeout_s)

    # --- Dagster -----------------------------------------------------------------------------------------------------

    def idle(self) -> bool:
        """Whether no run is queued or in work."""
        return not set(self.up.runs()) & {"NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING"}

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """The runs with these tags, newest first: `runId`, `status`, `tags`."""
        wanted = ", ".join(f'{{key: "{name}", value: "{value}"}}' for name, value in tags.items())
        query = f"{{ runsOrError(filter: {{tags: [{wanted}]}}) {{ ... on Runs {{ results {{ runId status tags {{ key value }} }} }} }} }}"
        found = self.up.ask(query)["runsOrError"]["results"]
        return [run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]

    def statuses(self, asset: str) -> dict[str, str]:
        """The status of every partition of an asset, as the web UI shows it."""
        kinds = ("unmaterialized", "materialized", "failed", "materializing")  # what is failed is also called unmaterialized
        fields = " ".join(f"{kind}Partitions" for kind in kinds)
        query = f"""{{ assetNodeOrError(assetKey: {{path: ["{asset}"]}}) {{ ... on AssetNode {{
            assetPartitionStatuses {{ ... on DefaultPartitionStatuses {{ {fields} }} }} }} }} }}"""
        found = self.up.ask(query)["assetNodeOrError"]["assetPartitionStatuses"]
        return {key: kind for kind in kinds for key in found[f"{kind}Partitions"]}

    def materializations(self, asset: str) -> Counter[str]:
        """How often each partition of an asset was materialized."""
        events = "assetMaterializations(limit: 5000) { partition }"
        query = f'{{ assetOrError(assetKey: {{path: ["{asset}"]}}) {{ ... on Asset {{ {events} }} }} }}'
        found = self.up.ask(query)["assetOrError"]
        return Counter(event["partition"] for event in found.get("assetMaterializations", ()))

    def reasons(self, asset: str, key: str) -> list[str]:
        """What the web UI's history says of failures of one image."""
        events = f'assetObservations(partitions: ["{partition_key(key)}"]) {{ description }}'
        query = f'{{ assetOrError(assetKey: {{path: ["{asset}"]}}) {{ ... on Asset {{ {events} }} }} }}'
        return [event["description"] for event in self.up.ask(query)["assetOrError"]["assetObservations"]]

    def add_partitions(self, *keys: str) -> None:
        """Add image partitions without converting them."""
        for key in keys:
            answer = self.up.ask(
                f'mutation {{ addDynamicPartition(partitionsDefName: "images", partitionKey: "{partition_key(key)}", repositorySelector: '
                '{repositoryLocationName: "groundtrack", repositoryName: "__repository__"}) { __typename } }'
            )
            assert answer["addDynamicPartition"]["__typename"] == "AddDynamicPartitionSuccess", answer

    # --- processes ---------------------------------------------------------------------------------------------------

    def run_workers(self) -> list[psutil.Process]:
        """The processes of the runs that are in work."""
        server = psutil.Process(self.up.pid("code_server") or 0)
        forks = [child for child in server.children() if "multiprocessing.forkserver" in " ".join(child.cmdline())]
        return [run for fork in forks for run in fork.children()]

    def busy_dask_workers(self) -> list[psutil.Process]:
        """The Dask workers that work on something, whether or not anybody still waits for it."""
        with Client(f"tcp://127.0.0.1:{self.up.state.services['dask']['port']}", set_as_default=False) as client:
            names = {worker["name"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()}
            busy = client.run(lambda dask_worker: dask_worker.name if dask_worker.active_threads else "").values()
        assert names, "Dask has no workers"
        return [worker for worker in self.dask_workers() if set(worker.cmdline()) & set(filter(None, busy))]

    def dask_workers(self) -> list[psutil.Process]:
        cluster = psutil.Process(self.up.pid("dask") or 0)
        return [child for child in cluster.children() if child.cmdline()[1:4] == ["-m", "dask", "worker"]]
