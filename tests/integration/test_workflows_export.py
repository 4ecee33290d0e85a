"""Manifests in a bucket: exported by a package's build, on every S3 server that the platform is for."""

import threading
import zipfile
from pathlib import Path

import pytest

from platform_assets.common.errors import Conflict
from platform_assets.workflows.manifest import manifest_text, put_manifest
from platform_assets.workflows.model import TaskSpec, WorkflowSpec
from resources.object_store import S3Bucket
from tests.builders.commands import run as command
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, S3Server
from tests.builders.wheels import instrument


def workflow(description: str = "") -> WorkflowSpec:
    task = TaskSpec("Parse", "instrument.tasks", description, (), ("frozen",), "default", 0, 60.0, None, None, None)
    return WorkflowSpec("raw_to_l1_camera", "1.0.0", "raw", "l1", "camera", "", ("camera",), "instrument", (task,))


def content(bucket: S3Bucket, key: str) -> str:
    return bucket.read(key, limit_bytes=1 << 20)[0].decode()


def test_a_manifest_in_a_bucket_is_that_of_a_folder(bucket):
    assert put_manifest(workflow(), bucket, "ci/") == "ci/raw_to_l1_camera_1.0.0.json"
    assert content(bucket, "ci/raw_to_l1_camera_1.0.0.json") == manifest_text(workflow())


def test_b10_another_manifest_of_a_version_in_a_bucket_is_refused_unless_it_is_to_be_replaced(bucket):
    key = put_manifest(workflow("one"), bucket, "")
    assert put_manifest(workflow("one"), bucket, "") == key
    with pytest.raises(Conflict, match=r"raw_to_l1_camera_1\.0\.0\.json is another manifest"):
        put_manifest(workflow("other"), bucket, "")
    assert content(bucket, key) == manifest_text(workflow("one"))
    put_manifest(workflow("other"), bucket, "", replace=True)
    assert content(bucket, key) == manifest_text(workflow("other"))


def test_of_two_builds_that_export_a_version_at_once_one_is_refused(bucket):
    start, refused = threading.Barrier(4), []

    def export(number: int) -> None:
        start.wait()
        try:
            put_manifest(workflow(str(number)), bucket, "")
        except Conflict:
            refused.append(number)

    threads = [threading.Thread(target=export, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3


def test_a_package_is_exported_to_a_bucket_as_a_user_types_it(embedded_server: S3Server, tmp_path: Path):
    embedded_server.connection.client().create_bucket(Bucket="exports")
    wheel = instrument(tmp_path / "dist", "1.0.0")
    variables = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "GROUNDTRACK_S3_ENDPOINT_URL": embedded_server.connection.endpoint_url,
        "GROUNDTRACK_S3_REGION": "us-east-1",
    }
    links = ("--no-index", "--find-links", str(wheel.parent))
    done = command(tmp_path, "groundtrack", "workflows", "export", str(wheel), "--to", "s3://exports/ci/main", *links, **variables)
    assert done.code == 0, done.text
    assert "s3://exports/ci/main/raw_to_l1_camera_1.0.0.json sha256:" in done.text
    keys = [ref.key for ref in embedded_server.connection.bucket("exports").list()]
    assert keys == ["ci/main/raw_to_l1_camera_1.0.0.json", "ci/main/raw_to_trouble_camera_1.0.0.json"]


@pytest.mark.parametrize("place", ["gs://bucket/x", "s3://"])
def test_a_place_that_is_neither_folder_nor_bucket_is_refused(place, tmp_path):
    done = command(tmp_path, "groundtrack", "workflows", "export", "instrument==1.0.0", "--to", place)
    assert done.code != 0
    assert f"{place} is neither a folder nor a prefix of a bucket" in done.text


def test_an_export_that_is_refused_leaves_the_code_of_the_version_as_it_was(tmp_path: Path):
    wheel = instrument(tmp_path / "dist", "1.0.0")
    links = ("--no-index", "--find-links", str(wheel.parent))
    assert command(tmp_path, "groundtrack", "workflows", "export", str(wheel), *links).code == 0
    [kept] = (tmp_path / ".groundtrack/workflows/wheels").iterdir()
    before = kept.read_bytes()
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("instrument/more.py", "")
    done = command(tmp_path, "groundtrack", "workflows", "export", str(wheel), *links)
    assert (done.code, "is another wheel of this version" in done.text) == (1, True), done.text
    assert kept.read_bytes() == before
