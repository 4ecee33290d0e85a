"""`groundtrack dpr plan` as it is typed."""

import json

import pytest
import yaml
from click.testing import CliRunner

from platform_assets.cli.dpr import dpr
from platform_assets.common.errors import ConfigurationError, MissingInput
from platform_assets.dpr.errors import MalformedRequest
from tests.builders.dpr import alternative, items, request, storage, task_table

CANARY = "canary-7f3a"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with all documents of a request, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    documents = {"request.json": request(), "wave.json": task_table(), "storage.json": storage()}
    for name, document in documents.items():
        (tmp_path / name).write_text(json.dumps(document))
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "all.json").write_text(json.dumps({"type": "FeatureCollection", "features": items()}))
    return tmp_path


def plan(*arguments, request_file="request.json", table="wave.json"):
    return CliRunner().invoke(dpr, ["plan", request_file, "--task-table", table, *arguments])


def test_a_plan_shows_units_searches_and_the_payload(folder):
    done = plan("--storage", "storage.json", "--items", "items")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "wave 1.2, pipeline full"
    for line in (
        "  Geo.3 (wave.geo)",
        "    in   dem from Terrain.2.DEM",
        "    out  geo to pipeline_output, whatever matches ^final_.*",
        "  GAIN (optional), for Calib.1",
        "    1. ValCover in orbits (auxip): found nothing",
        "    2. ValCover in aux (auxip): found ORB_NEW",
    ):
        assert line in lines
    assert "t_contains(INTERVAL(start_datetime,end_datetime), INTERVAL('2026-05-01T04:09:00Z','2026-05-01T04:22:00Z'))" in done.stdout
    payload = yaml.safe_load(done.stdout.partition("\nPayload\n")[2])
    assert payload["io"]["input_products"][0]["reader_params"]["storage_options"]["secret"] == "${CLOUD_SECRET}"


def test_a_plan_is_one_json_document(folder):
    done = plan("--storage", "storage.json", "--items", "items", "--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert [unit["name"] for unit in document["units"]] == ["Calib.1", "Terrain.2", "Geo.3"]
    assert document["auxiliary_files"][0]["attempts"][1]["found"] == ["ORB_NEW"]
    assert document["payload"]["io"]["adfs"][0]["path"] == "s3://archive/aux/ORB_NEW"


def test_a_request_may_be_yaml_and_the_rest_come_from_the_settings(folder, monkeypatch):
    monkeypatch.setenv("GROUNDTRACK_OUTPUT_BUCKET", "results")
    monkeypatch.setenv("GROUNDTRACK_S3_ENDPOINT_URL", "https://s3.example.org")
    (folder / "request.yaml").write_text(
        yaml.safe_dump(
            request(
                generated_product_to_collection_identifier=[
                    {"name": name, "product_type": "*", "collection_name": name} for name in ("cal", "DEM", "geo")
                ]
            )
        )
    )
    done = plan("--json", request_file="request.yaml")
    outputs = json.loads(done.stdout)["payload"]["io"]["output_products"]
    assert [output["path"].rpartition("/")[0] for output in outputs] == [f"s3://results/ana/{name}" for name in ("DEM", "cal", "geo")]
    assert outputs[0]["writer_params"]["storage_options"] == {
        "key": "${AWS_ACCESS_KEY_ID}",
        "secret": "${AWS_SECRET_ACCESS_KEY}",
        "client_kwargs": {"endpoint_url": "https://s3.example.org"},
    }


def test_without_items_nothing_is_searched(folder):
    done = plan("--storage", "storage.json")
    assert "    1. ValCover in orbits (auxip): not searched" in done.stdout.splitlines()
    assert "path: <slcs>/S1C_A" in done.stdout


def test_bucket_rules_choose_the_bucket(folder):
    (folder / "rules.json").write_text(json.dumps([["ana", "maps", "*", "30", "short"]]))
    assert "path: s3://short/ana/maps/" in plan("--storage", "storage.json", "--bucket-rules", "rules.json").stdout


def test_a_request_that_cannot_be_run_shows_what_was_searched_and_ends_with_1(folder):
    (folder / "items" / "all.json").write_text(json.dumps({"type": "FeatureCollection", "features": items()[:1]}))
    done = plan("--storage", "storage.json", "--items", "items")
    assert done.exit_code == 1
    assert "    2. ValCover in aux (auxip): found nothing" in done.stdout.splitlines()
    assert "Error: unit Calib.1 needs the auxiliary file 'ORB'" in done.stderr
    document = json.loads(plan("--storage", "storage.json", "--items", "items", "--json").stdout)
    assert (document["payload"], document["problems"][0]["code"]) == (None, "auxiliary_not_found")


def test_all_that_is_missing_is_told_together(folder):
    table = task_table()
    parameters = {"start_datetime": "{slc.start_datetime}", "end_datetime": "{slc.start_datetime}"}
    table["io"]["adfs"][0]["alternatives"] = [alternative(1, "ORB_PRE", **parameters)]
    table["units"][0]["input_adfs"][1]["mandatory"] = True
    (folder / "wave.json").write_text(json.dumps(table))
    (folder / "items" / "all.json").write_text(json.dumps(items()[1]))
    done = plan("--storage", "storage.json", "--items", "items")
    assert "    not searched: the input that it is for is not there" in done.stdout.splitlines()
    assert "there is no item 'S1C_A' in collection 'slcs'" in done.stderr
    assert "needs the auxiliary file 'GAIN'" in done.stderr


@pytest.mark.parametrize("version", ["1.2", ""])
def test_the_task_table_of_a_folder_is_that_of_the_processor(folder, version):
    (folder / "tables").mkdir()
    for name in ("wave", "Foam"):
        table = task_table()
        table["tasktable"]["name"] = name
        (folder / "tables" / f"{name}.json").write_text(json.dumps(table))
    (folder / "request.json").write_text(json.dumps(request(processor_name="foam", processor_version=version)))
    assert plan("--storage", "storage.json", table="tables").stdout.startswith("Foam 1.2, pipeline full\n")


def test_a_folder_without_the_processors_task_table_is_refused_with_those_it_has(folder):
    (folder / "tables").mkdir()
    (folder / "wave.json").rename(folder / "tables" / "wave.json")
    (folder / "tables" / "notes.json").write_text("{")
    (folder / "request.json").write_text(json.dumps(request(processor_version="9")))
    refused = plan(table="tables").exception
    assert isinstance(refused, MalformedRequest)
    assert str(refused) == "tables has no task tables of wave 9; task tables: wave 1.2; passed over, since they are none: notes.json"


def test_a_file_that_is_not_there_is_refused_by_its_name(folder):
    refused = plan(request_file="no.json").exception
    assert isinstance(refused, MissingInput)
    assert str(refused) == "no.json: No such file or directory"


def test_an_address_with_credentials_is_refused_without_being_shown(folder):
    refused = plan("--items", f"https://ana:{CANARY}@stac.example.org").exception
    assert isinstance(refused, ConfigurationError)
    assert CANARY not in str(refused)


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--items", "items"), ("--items", "items", "--json")])
def test_a_secret_in_clear_is_shown_nowhere(folder, arguments):
    stores = storage()
    stores["storage_configuration"][0]["storage_options"] |= {"key": CANARY, "secret": f"{CANARY}-2"}
    (folder / "storage.json").write_text(json.dumps(stores))
    done = plan("--storage", "storage.json", *arguments)
    assert done.exit_code == 0
    assert "**********" in done.stdout
    assert CANARY not in done.stdout + done.stderr


# --- prewarm --------------------------------------------------------------------------------------------------------------


def prewarm(monkeypatch, **processors):
    monkeypatch.setenv("GROUNDTRACK_DPR_PROCESSORS", json.dumps(processors))
    return CliRunner().invoke(dpr, ["prewarm"])


def test_prewarm_says_that_only_eopf_has_environments(folder, monkeypatch):
    done = prewarm(monkeypatch, **{"*": {"kind": "simulator"}})
    assert done.exit_code == 0
    assert "no processor of kind eopf" in done.stdout


def test_prewarm_tells_of_each_processor_what_it_has_and_ends_with_1_when_one_lacks_it(folder, monkeypatch):
    for name, packages in (("good", ["eopf-2.8.1"]), ("bad", [])):
        for package in packages:
            info = folder / name / "lib" / "python3.11" / "site-packages" / f"{package}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {package.partition('-')[0]}\nVersion: {package.partition('-')[2]}\n"
            )
    done = prewarm(monkeypatch, **{name: {"kind": "eopf", "python": str(folder / name / "bin" / "python")} for name in ("bad", "good")})
    assert done.exit_code == 1
    assert "bad: there is no EOPF CPM in" in done.stderr
    assert done.stdout.startswith("good: EOPF CPM 2.8.1, 1 packages, in")


def test_a_setting_that_is_no_json_is_named(folder, monkeypatch):
    monkeypatch.setenv("GROUNDTRACK_DPR_PROCESSORS", '{"a":')
    error = CliRunner().invoke(dpr, ["prewarm"]).exception
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith("GROUNDTRACK_DPR_PROCESSORS: is no JSON: Expecting value: line 1 column 6")
