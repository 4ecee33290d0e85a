"""What the commands say and how they end: doctor, env, report, retry, and Dagster's own command beside them."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance

from resources.object_store import S3Bucket
from resources.settings import Settings
from tests.builders.commands import Done, run
from tests.builders.noise import noise_image
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, S3Server, free_port, ministack, wait_for
from tests.builders.site import Site

WEB_PAGE = b"<!DOCTYPE html><html><body>404</body></html>"
KEYS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The embedded S3 server alone: no platform runs."""
    with ministack(tmp_path_factory.mktemp("ministack")) as server:
        for bucket in ("raw", "products"):
            server.connection.client().create_bucket(Bucket=bucket)
        yield server


@pytest.fixture(scope="module")
def office(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `.env` has all settings and the keys."""
    folder = tmp_path_factory.mktemp("office")
    settings = {"GROUNDTRACK_S3_ENDPOINT_URL": server.connection.endpoint_url, "GROUNDTRACK_DASK_WORKERS": "1", **KEYS}
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return folder


# --- doctor ---------------------------------------------------------------------------------------------------------------


def findings(done: Done) -> dict[str, str]:
    """The state of everything that the doctor looked at."""
    columns = [line.split("  ") for line in done.out.splitlines() if line.partition(" ")[0] in ("ok", "warning", "failed")]
    return {name: state for state, name, *_ in ([part.strip() for part in column if part.strip()] for column in columns)}


def test_doctor_finds_all_well_with_settings_and_keys_from_the_env_file(office):
    done = run(office, "groundtrack", "doctor")
    assert done.code == 0
    assert "failed" not in findings(done).values()
    assert {name for name, state in findings(done).items() if state == "warning"} == {"platform"}
    assert "conditional writes honoured" in done.text


def test_doctor_beside_a_running_platform_has_nothing_to_warn_of(site):
    done = run(site.home.parent, "groundtrack", "doctor", GROUNDTRACK_HOME=str(site.home))
    assert done.code == 0
    assert set(findings(done).values()) == {"ok"}
    assert "All is well." in done.text


def test_doctor_says_soon_that_nobody_answers(office):
    url = f"http://127.0.0.1:{free_port()}"
    done = run(office, "groundtrack", "doctor", timeout_s=20, GROUNDTRACK_S3_ENDPOINT_URL=url)
    assert done.code == 1
    assert findings(done)["object store"] == "failed"
    assert url in done.text
    assert "Is the server up, and GROUNDTRACK_S3_ENDPOINT_URL right?" in done.text


@pytest.mark.parametrize("which", ["INPUT", "OUTPUT"])
def test_doctor_names_the_bucket_that_is_missing(office, which):
    done = run(office, "groundtrack", "doctor", **{f"GROUNDTRACK_{which}_BUCKET": "nonesuch"})
    assert done.code == 1
    assert "nonesuch" in done.text
    assert "Create the bucket" in done.text
    assert "1 to mend." in done.text


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("GROUNDTRACK_OUTPUT_BUCKET", "raw", "a product could overwrite a raw image"),
        ("GROUNDTRACK_MANIFEST_PATTERN", "*.csv", "also matches the platform's own `processing-<time>.csv`"),
        ("GROUNDTRACK_PROFILE", "zip", "GROUNDTRACK_PROFILE"),
    ],
)
def test_doctor_explains_settings_that_cannot_work(office, setting, value, words):
    done = run(office, "groundtrack", "doctor", **{setting: value})
    assert done.code == 1
    assert findings(done)["settings"] == "failed"
    assert words in done.text
    assert "Traceback" not in done.text


def test_doctor_names_every_document_of_on_demand_processing_that_is_wrong(server, office):
    bucket = server.connection.bucket("raw")
    station = {"name": "adgs", "source": "auxip", "protocol": "odata", "url": "https://adgs.example.org"}
    documents = {
        "storage.json": {},
        "buckets.json": [["*", "*"]],
        "stations.json": {"stations": [station | {"auth": {"kind": "bearer", "token": "${NOT_DEFINED_ANYWHERE}"}}]},
        "rules/l0.json": {"name": "l0"},
        "tasktables/l0.json": {"tasktable": {}},
    }
    for name, document in documents.items():
        bucket.write(f"dpr/{name}", json.dumps(document).encode(), content_type="application/json")
    processors = {"GROUNDTRACK_DPR_PROCESSORS": '{"*": {"kind": "nonesuch"}}'}
    try:
        done, wrong = run(office, "groundtrack", "doctor"), run(office, "groundtrack", "doctor", **processors)
    finally:
        for name in documents:
            bucket.delete(f"dpr/{name}")
    assert done.code == 1
    assert "5 to mend." in done.text
    assert all(f"dpr/{name}" in done.text for name in documents)
    assert "adgs: the secret NOT_DEFINED_ANYWHERE is not defined" in done.text
    assert findings(wrong)["processors"] == "failed"


@pytest.fixture(scope="module")
def ceph_settings(ceph_server: S3Server) -> dict[str, str]:
    for bucket in ("raw", "products"):
        ceph_server.connection.client().create_bucket(Bucket=bucket)
    return {"GROUNDTRACK_S3_ENDPOINT_URL": ceph_server.connection.endpoint_url, **KEYS}


@pytest.mark.parametrize(
    ("variable", "words"), [("AWS_SECRET_ACCESS_KEY", "The secret key is wrong"), ("AWS_ACCESS_KEY_ID", "The access key is unknown there")]
)
def test_doctor_tells_a_wrong_secret_from_an_unknown_key(ceph_settings, tmp_path, variable, words):
    done = run(tmp_path, "groundtrack", "doctor", **ceph_settings | {variable: "wrong"})
    assert done.code == 1
    assert findings(done)["object store"] == "failed"
    assert words in done.text


def test_doctor_names_the_permission_that_is_missing(ceph_settings, ceph_server, tmp_path):
    assert run(tmp_path, "groundtrack", "doctor", **ceph_settings).code == 0
    client = ceph_server.connection.client()
    statement = {"Effect": "Deny", "Principal": "*", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::products/*"]}
    client.put_bucket_policy(Bucket="products", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    done = run(tmp_path, "groundtrack", "doctor", **ceph_settings)
    client.delete_bucket_policy(Bucket="products")
    assert done.code == 1
    assert findings(done)["input bucket"] == "ok"
    assert findings(done)["output bucket"] == "failed"
    assert "AccessDenied (403) in PutObject" in done.text
    assert "1 to mend." in done.text


# --- Dagster's own command ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exports(office: Path) -> dict[str, str]:
    """What `eval "$(groundtrack env)"` puts into a shell."""
    lines = run(office, "groundtrack", "env").out.splitlines()
    assert all(line.startswith("export ") for line in lines)
    return dict(shlex.split(line)[1].split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def archive(server: S3Server, exports: dict[str, str]) -> S3Bucket:
    """Images of which Dagster knows, as after a manifest; `new.tif` it does not know."""
    bucket = server.connection.bucket("raw")
    for name in ("1", "2", "3", "new"):
        bucket.write(f"county/{name}.tif", noise_image(300, 1), content_type="image/tiff")
    bucket.write("county/bad.tif", WEB_PAGE, content_type="image/tiff")
    with DagsterInstance.from_config(exports["DAGSTER_HOME"]) as instance:
        instance.add_dynamic_partitions("images", [f"county~~{name}.tif" for name in ("1", "2", "3", "bad")])
    return server.connection.bucket("products")


def test_env_exports_settings_alone_and_no_secret(exports):
    known = {f"GROUNDTRACK_{name.upper()}" for name in Settings.model_fields} | {"GROUNDTRACK_EXPORTED"}
    assert {name for name in exports if name.startswith("GROUNDTRACK_")} <= known
    assert SECRET_KEY not in exports.values()


def materialize(folder: Path, exports: dict[str, str], *options: str) -> Done:
    module = exports["DAGSTER_MODULE_NAME"]
    return run(folder, "dagster", "asset", "materialize", "-m", module, "--select", "cog", *options, **exports)


def test_one_partition_from_the_terminal(office, exports, archive):
    done = materialize(office, exports, "--partition", "county~~1.tif")
    assert done.code == 0
    assert archive.stat("county/1.tif")
    assert "BetaWarning" not in done.text


def test_a_range_of_partitions_from_the_terminal(office, exports, archive):
    done = materialize(office, exports, "--partition-range", "county~~2.tif...county~~3.tif")
    assert done.code == 0
    assert archive.stat("county/2.tif")
    assert archive.stat("county/3.tif")


def test_a_bad_image_from_the_terminal_ends_with_a_code_and_its_reason(office, exports, archive):
    done = materialize(office, exports, "--partition", "county~~bad.tif")
    assert done.code == 1
    assert "it is an HTML page, not a TIFF" in done.text
    assert archive.stat("county/bad.tif") is None


def test_a_partition_that_nobody_added_is_refused(office, exports, archive):
    done = materialize(office, exports, "--partition", "county~~new.tif")
    assert done.code == 1
    assert "county~~new.tif" in done.text
    assert archive.stat("county/new.tif") is None


# --- report and retry -----------------------------------------------------------------------------------------------------


def groundtrack(site: Site, *arguments: str) -> Done:
    return run(site.home.parent, "groundtrack", *arguments, GROUNDTRACK_HOME=str(site.home))


@pytest.fixture(scope="module")
def settled(site: Site) -> str:
    """The key of a manifest of which one image was converted and two failed, each in another way."""
    image = noise_image(300, 1)
    site.put({"cli/good.tif": image, "cli/page.tif": WEB_PAGE, "cli/cut.tif": image[: len(image) // 2]})
    site.drop("cli/roll_raw.csv", [("cli/good.tif", 3), ("cli/page.tif", 3), ("cli/cut.tif", 3)])
    site.wait_until_settled("cli")
    return "cli/roll_raw.csv"


def test_report_tells_how_every_row_ended(site, settled):
    done = groundtrack(site, "report", settled)
    assert done.code == 0
    for words in (
        "Rows 3", "Converted 1", "Failed 2", "line 2 cli/page.tif", "not_a_tiff in inspect: page.tif: it is an HTML page, not a TIFF",
        "line 3 cli/cut.tif", "corrupt_image",
    ):  # fmt: skip
        assert words in done.text


def test_report_gives_the_json_and_the_page_that_are_in_the_bucket(site, settled):
    [key] = site.reports("cli")
    done = groundtrack(site, "report", settled, "--json", "--save", "page.html")
    assert done.code == 0
    assert json.loads(done.out) | {"report_key": 0} == json.loads(site.source.read(key, limit_bytes=1 << 20)[0]) | {"report_key": 0}
    page = site.source.read(f"{key.removesuffix('.json')}.html", limit_bytes=1 << 20)[0]
    assert (site.home.parent / "page.html").read_bytes() == page


@pytest.mark.parametrize("command", ["report", "retry"])
def test_a_manifest_that_was_never_dropped_is_unknown(site, settled, command):
    done = groundtrack(site, command, "cli/other_raw.csv")
    assert done.code == 1
    assert "cli/other_raw.csv" in done.text
    assert "What to do:" in done.text
    assert "Traceback" not in done.text


def test_report_says_what_a_manifest_waits_for(site):
    site.drop("waiting/roll_raw.csv", [("waiting/late.tif", 3)])
    wait_for(lambda: any("waiting" in key for key in site.statuses("image_manifest")), "look of the sensor at the manifest")
    done = groundtrack(site, "report", "waiting/roll_raw.csv")
    site.source.delete("waiting/roll_raw.csv")
    assert "waiting/late.tif" in done.text
    assert "not arrived" in done.text


def test_report_says_how_far_a_manifest_in_work_is(site):
    keys = [f"work/{number}.tif" for number in range(8)]
    site.put(dict.fromkeys(keys, noise_image(1700, 1)))
    site.drop("work/roll_raw.csv", [(key, 3) for key in keys])
    wait_for(lambda: bool(site.items("work")), "conversion of the first image")
    done = groundtrack(site, "report", "work/roll_raw.csv")
    in_work = not site.reports("work")
    site.wait_until_settled("work")
    assert in_work
    assert "in work" in done.text
    assert "of 8" in done.text
    assert "Give the manifest's key" not in done.text


def test_retry_of_one_class_leaves_the_other_failures_to_a_later_retry(site, settled):
    image = noise_image(300, 1)
    site.put({"cli/page.tif": image})
    done = groundtrack(site, "retry", settled, "--class", "not_a_tiff")
    assert done.code == 0
    assert "1 failed rows of class not_a_tiff" in done.text
    site.wait_until_settled("cli", reports=2)
    assert site.read_report(site.reports("cli")[1]) == {"cli/page.tif": "done"}
    site.put({"cli/cut.tif": image})
    assert groundtrack(site, "retry", settled).code == 0
    site.wait_until_settled("cli", reports=3)
    assert site.read_report(site.reports("cli")[2]) == {"cli/cut.tif": "done"}


def test_retry_drops_nothing_when_nothing_failed(site, settled):
    done = groundtrack(site, "retry", settled, "--class", "no_such_class")
    assert done.code == 0
    assert "no failed rows of class no_such_class" in done.text
    assert site.source.stat(settled) is None
