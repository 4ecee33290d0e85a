"""A manifest's way from the drop to the settled report, on a real S3 server, a real Dask cluster and a real Dagster instance."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import rasterio
from dagster import DagsterInstance
from rasterio.transform import from_origin

from platform_assets.cli.deployment import Deployment
from platform_assets.cli.manifests import drop_failed
from platform_assets.common.values import Failure, Outcome, State
from platform_assets.imagery.claim import Claim
from platform_assets.imagery.settle import settle
from resources.settings import Settings, load
from tests.builders.centre import Centre
from tests.builders.servers import ACCESS_KEY, SECRET_KEY, S3Server


@pytest.fixture
def centre(
    s3_server: S3Server, dask_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Centre]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    name = f"{abs(hash(request.node.nodeid)):x}"
    settings: Settings = load(
        home=tmp_path,
        s3_endpoint_url=s3_server.connection.endpoint_url,
        s3_region=s3_server.connection.region,
        input_bucket=f"raw-{name}",
        output_bucket=f"out-{name}",
    )
    for bucket in (settings.input_bucket, settings.output_bucket):
        s3_server.connection.client().create_bucket(Bucket=bucket)
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield Centre(s3_server, settings, instance, dask_address)


@pytest.fixture
def impatient(centre: Centre) -> Centre:
    """A centre whose manifests do not wait for images."""
    return centre.with_settings(manifest_grace_s=0)


@contextmanager
def another_instance(folder: Path) -> Iterator[DagsterInstance]:
    (folder / "other").mkdir()
    with DagsterInstance.local_temp(str(folder / "other")) as instance:
        yield instance


def image(path: Path, bands: int = 3, size: int = 600, seed: int = 1) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (bands, size, size), dtype="uint8")
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=size,
        height=size,
        count=bands,
        dtype="uint8",
        crs="EPSG:32632",
        transform=from_origin(5e5, 5e6, 1, 1),
    ) as file:
        file.write(pixels)
    return path


def test_a_manifest_becomes_products_and_a_truthful_report(centre: Centre, tmp_path: Path) -> None:
    centre.put({"wood/a.tif": image(tmp_path / "a.tif"), "wood/b.tif": image(tmp_path / "b.tif", 1), "wood/bad.tif": b"<html>no</html>"})
    report = centre.convert("wood/test_raw.csv", [("wood/a.tif", 3), ("wood/b.tif", 1), ("wood/bad.tif", 3)])
    assert report.states == {"wood/a.tif": "done", "wood/b.tif": "done", "wood/bad.tif": "failed"}
    assert report.classes == {"wood/bad.tif": "not_a_tiff"}
    assert centre.statuses("cog", list(report.states)) == {
        "wood/a.tif": "MATERIALIZED",
        "wood/b.tif": "MATERIALIZED",
        "wood/bad.tif": "FAILED",
    }


def test_the_products_are_where_the_reference_puts_them(centre: Centre, tmp_path: Path) -> None:
    centre.put({"wood/a.tif": image(tmp_path / "a.tif")})
    centre.convert("wood/test_raw.csv", [("wood/a.tif", 3)])
    keys = [ref.key for ref in centre.target.list() if not ref.key.startswith("_")]
    assert keys == ["wood/a.jpg", "wood/a.tif"]
    stac = [ref.key for ref in centre.target.list("_stac/")]
    assert stac == [
        "_stac/catalog.json",
        "_stac/imagery/collection.json",
        "_stac/imagery/wood/catalog.json",
        "_stac/imagery/wood/wood~~a.tif.json",
        "_stac/imagery/wood/wood~~a.tif.thumb.jpg",
    ]
    [*names] = centre.input_keys("wood/test_")
    words = sorted(name.removeprefix("wood/test_").partition("-")[0] + name[name.rindex(".") :] for name in names)
    assert words == ["processed.csv", "report.csv", "report.html", "report.json"]


def test_a_materialization_shows_what_was_made_and_a_failure_its_reason(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif"), "bad.tif": b"GIF89a" + bytes(100)})
    centre.convert("raw.csv", [("a.tif", 3), ("bad.tif", 3)])
    [cog] = centre.instance.fetch_materializations(dg.AssetKey("cog"), limit=10).records
    assert cog.partition_key == "a.tif"
    metadata = {name: value.value for name, value in cog.asset_materialization.metadata.items()}
    assert metadata["uri"] == f"s3://{centre.settings.output_bucket}/a.tif"
    assert metadata["compression_ratio"] > 0
    assert "pixels_equal" in metadata["checks"]
    [thumbnail] = centre.instance.fetch_materializations(dg.AssetKey("thumbnail"), limit=10).records
    assert thumbnail.asset_materialization.metadata["thumbnail"].value.startswith("![thumbnail](data:image/jpeg;base64,")
    [observation] = centre.instance.fetch_observations(dg.AssetKey("cog"), limit=10).records
    assert observation.partition_key == "bad.tif"
    seen = {name: value.value for name, value in observation.asset_observation.metadata.items()}
    assert (seen["stage"], seen["error_class"]) == ("inspect", "not_a_tiff")
    assert "what_to_do" in seen
    checks = centre.instance.event_log_storage.get_latest_asset_check_execution_by_key
    found = checks([dg.AssetCheckKey(dg.AssetKey("cog"), "cog_valid")])
    assert [record.status.value for record in found.values()] == ["SUCCEEDED"]


def test_dropping_a_manifest_again_converts_nothing_again(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif")})
    rows = [("a.tif", 3)]
    first = centre.convert("raw.csv", rows)
    second = centre.convert("raw.csv", rows)
    assert (first.states, second.states) == ({"a.tif": "done"}, {"a.tif": "carried_over"})
    assert len(centre.instance.fetch_materializations(dg.AssetKey("cog"), limit=10).records) == 1
    assert first.rows[0]["facts"]["products"] == second.rows[0]["facts"]["products"]


def test_a_backfill_over_partitions_ends_each_as_it_is(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif"), "b.tif": b"", "c.tif": image(tmp_path / "c.tif", 1)})
    keys = ["a.tif", "b.tif", "c.tif", "gone.tif"]
    centre.instance.add_dynamic_partitions("images", keys)
    result = centre.materialize(["cog", "jpeg", "thumbnail", "image_item"], keys)
    assert not result.success
    expected = {"a.tif": "MATERIALIZED", "b.tif": "FAILED", "c.tif": "MATERIALIZED", "gone.tif": "FAILED"}
    assert [centre.statuses(asset, keys) for asset in ("cog", "jpeg", "thumbnail", "image_item")] == [expected] * 4
    again = centre.materialize(["cog", "jpeg", "thumbnail", "image_item"], keys)
    assert not again.success
    assert centre.statuses("cog", keys) == expected


def test_one_product_alone_leaves_a_consistent_item(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif")})
    centre.instance.add_dynamic_partitions("images", ["a.tif"])
    assert centre.materialize(["cog"], ["a.tif"]).success
    assert centre.statuses("cog", ["a.tif"]) == {"a.tif": "MATERIALIZED"}
    assert centre.statuses("jpeg", ["a.tif"]) == {"a.tif": "MISSING"}
    assert [ref.key for ref in centre.target.list("a")] == ["a.tif"]
    assert centre.materialize(["jpeg"], ["a.tif"]).success
    item = centre.item("a.tif")
    assert sorted(item["assets"]) == ["cog", "jpeg"]


def test_a_run_may_ask_for_another_profile(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif")})
    centre.instance.add_dynamic_partitions("images", ["a.tif"])
    assert centre.materialize(["cog"], ["a.tif"], profile="zstd").success
    assert centre.item("a.tif")["assets"]["cog"]["groundtrack:details"]["profile"] == "zstd"
    assert not centre.materialize(["cog"], ["a.tif"], profile="zip").success


# --- what arrives late, twice, changed or broken --------------------------------------------------------------------------


def test_a_manifest_waits_for_its_images_and_tells_so(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif")})
    centre.drop("raw.csv", [("a.tif", 3), ("late.tif", 1)])
    skipped = centre.tick()
    assert isinstance(skipped, dg.SkipReason)
    assert "1 of 2 images have not arrived: late.tif" in (skipped.skip_message or "")
    [observed] = centre.instance.fetch_observations(dg.AssetKey("image_manifest"), limit=5).records
    assert observed.asset_observation.metadata["missing"].value == 1
    centre.tick()
    assert len(centre.instance.fetch_observations(dg.AssetKey("image_manifest"), limit=5).records) == 1
    centre.put({"late.tif": image(tmp_path / "late.tif", 1)})
    centre.tick()
    centre.run_requested()
    assert centre.report("raw.csv").states == {"a.tif": "done", "late.tif": "done"}


def test_after_its_time_of_grace_a_manifest_runs_with_what_is_there(impatient: Centre, tmp_path: Path) -> None:
    impatient.put({"a.tif": image(tmp_path / "a.tif")})
    report = impatient.convert("raw.csv", [("a.tif", 3), ("late.tif", 1)])
    assert report.states == {"a.tif": "done", "late.tif": "failed"}
    assert report.classes == {"late.tif": "missing_input"}
    assert impatient.statuses("cog", ["a.tif", "late.tif"]) == {"a.tif": "MATERIALIZED", "late.tif": "FAILED"}
    failed = next(key for key in impatient.input_keys() if key.startswith("failed-"))
    assert impatient.source.read(failed, limit_bytes=100)[0] == b"late.tif,1\r\n"
    impatient.put({"late.tif": image(tmp_path / "late.tif", 1)})
    again = impatient.convert("raw.csv", [("late.tif", 1)])
    assert again.states == {"late.tif": "done"}
    assert impatient.statuses("cog", ["a.tif", "late.tif"]) == {"a.tif": "MATERIALIZED", "late.tif": "MATERIALIZED"}


def test_an_image_that_changes_between_claim_and_read_fails_as_changed(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif"), "b.tif": image(tmp_path / "b.tif"), "c.tif": image(tmp_path / "c.tif")})
    centre.drop("raw.csv", [("a.tif", 3), ("b.tif", 3), ("c.tif", 3)])
    centre.tick()
    centre.put({"a.tif": image(tmp_path / "other.tif", seed=2)})
    centre.source.delete("b.tif")
    centre.run_requested()
    report = centre.report("raw.csv")
    assert report.classes == {"a.tif": "input_changed", "b.tif": "missing_input"}
    assert [ref.key for ref in centre.target.list() if not ref.key.startswith("_")] == ["c.jpg", "c.tif"]


def test_a_new_content_under_an_old_key_is_converted_again(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif")})
    first = centre.convert("raw.csv", [("a.tif", 3)])
    centre.put({"a.tif": image(tmp_path / "b.tif", seed=2)})
    second = centre.convert("raw.csv", [("a.tif", 3)])
    assert second.states == {"a.tif": "done"}
    assert first.rows[0]["facts"]["products"]["cog"]["checksum"] != second.rows[0]["facts"]["products"]["cog"]["checksum"]


def test_a_product_that_was_removed_is_made_again(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif")})
    centre.convert("raw.csv", [("a.tif", 3)])
    centre.target.delete("a.jpg")
    assert centre.convert("raw.csv", [("a.tif", 3)]).states == {"a.tif": "done"}
    assert centre.target.stat("a.jpg")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_sidecar_that_arrives_later_makes_another_image(centre: Centre, tmp_path: Path) -> None:
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", width=100, height=100, count=1, dtype="uint8") as file:
        file.write(np.random.default_rng(1).integers(0, 255, (1, 100, 100), dtype="uint8"))
    centre.put({"a.tif": tmp_path / "a.tif"})
    assert centre.convert("raw.csv", [("a.tif", 1)]).rows[0]["facts"]["bbox"] is None
    centre.put({"a.tfw": b"1\n0\n0\n-1\n500000\n5000000\n"})
    again = centre.convert("raw.csv", [("a.tif", 1)])
    assert again.states == {"a.tif": "done"}
    assert centre.item("a.tif")["properties"]["proj:transform"][:6] == [1.0, 0.0, 499999.5, 0.0, -1.0, 5000000.5]


@pytest.mark.parametrize("key", ["scene [1]ü.tif", "p%2Fq.TIF", "-rf;x.tiff", "my.tiff.tif", "a'b\"c&d.tif", "plus+sign.tif"])
def test_a_key_with_odd_characters_is_converted_like_any_other(centre: Centre, tmp_path: Path, key: str) -> None:
    centre.put({key: image(tmp_path / "a.tif", 1, 64)})
    assert centre.convert("raw.csv", [(key, 1)]).states == {key: "done"}
    assert centre.target.stat(key)
    assert centre.target.stat(f"{key.rpartition('.')[0]}.jpg")


def test_bad_rows_fail_beside_good_ones_and_keep_their_text(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif", 1, 64)})
    centre.put({"x/raw.csv": b"\xef\xbb\xbfa.tif,1\r\nonly-one\r\n/abs.tif,3\r\na.tif,9\r\n../up.tif,1\r\na.tif,x,y,z,w\r\n"})
    centre.tick()
    centre.run_requested()
    report = centre.report("x/raw.csv")
    assert [row["state"] for row in report.rows] == ["done", "failed", "failed", "failed", "failed", "failed"]
    codes = [row["failure"]["error_class"] for row in report.rows[1:]]
    assert codes == ["bad_row", "unsafe_key", "duplicate_row", "unsafe_key", "bad_row"]
    failed = next(key for key in centre.input_keys() if key.startswith("x/failed-"))
    assert centre.source.read(failed, limit_bytes=1000)[0] == b"only-one\r\n/abs.tif,3\r\na.tif,9\r\n../up.tif,1\r\na.tif,x,y,z,w\r\n"


@pytest.mark.parametrize("data", [b"", b"\0\1\2", b"M\xfcnchen.tif,3\n", b'"open,3\n'], ids=["empty", "binary", "latin1", "quote"])
def test_a_manifest_that_is_no_csv_is_rejected_and_not_looked_at_again(centre: Centre, data: bytes) -> None:
    centre.put({"raw.csv": data, "good_raw.csv": b"missing_name\n"})
    centre.tick()
    centre.run_requested()
    report = centre.report("raw.csv")
    assert report.document["rejected"]["error_class"] == "bad_manifest"
    assert centre.report("good_raw.csv").states == {"missing_name": "failed"}
    assert not [key for key in centre.input_keys() if key.endswith("raw.csv") or "processing" in key]
    failed = [key for key in centre.input_keys() if key.startswith("failed-")]
    assert [centre.source.read(key, limit_bytes=100)[0] for key in failed] == ([data] if data else [])


def test_a_manifest_over_the_limit_is_rejected_without_being_read(centre: Centre) -> None:
    small = centre.with_settings(manifest_bytes=1000)
    small.put({"raw.csv": b"a.tif,3\n" * 1000})
    small.tick()
    small.run_requested()
    assert small.report("raw.csv").document["rejected"]["error_class"] == "limit_exceeded"


def test_a_rejected_manifest_is_kept_whole_whatever_its_size(centre: Centre) -> None:
    small = centre.with_settings(manifest_bytes=100)
    content = b"a.tif,1\n" * 100
    small.put({"big_raw.csv": content})
    small.tick()
    small.run_requested()
    [kept] = [key for key in small.input_keys() if "failed-" in key]
    assert small.source.read(kept, limit_bytes=1 << 20)[0] == content


def test_an_image_whose_jpeg_belongs_to_another_publishes_nothing(centre: Centre, tmp_path: Path) -> None:
    picture = image(tmp_path / "d.tif")
    centre.put({"c/d.tif": picture, "c/d.tiff": picture})
    centre.convert("one_raw.csv", [("c/d.tif", 3)])
    report = centre.convert("two_raw.csv", [("c/d.tiff", 3)])
    assert report.classes == {"c/d.tiff": "key_collision"}
    assert "'c/d.tif'" in report.failure("c/d.tiff")["message"]
    assert centre.target.stat("c/d.tiff") is None


def test_a_retry_leaves_rows_alone_that_repeat_others(centre: Centre, tmp_path: Path) -> None:
    centre.put({"b.tif": image(tmp_path / "b.tif"), "bad.tif": b"no tiff"})
    centre.convert("x_raw.csv", [("b.tif", 3), ("b.tif", 1), ("bad.tif", 3)])
    assert drop_failed(Deployment(centre.settings, centre.server.connection), "x_raw.csv", None) == 1
    assert centre.source.read("x_raw.csv", limit_bytes=1000)[0] == b"bad.tif,3\r\n"


def test_a_retry_of_one_class_tries_exactly_those_rows(impatient: Centre, tmp_path: Path) -> None:
    impatient.put({"bad.tif": b"no tiff"})
    impatient.convert("x_raw.csv", [("bad.tif", 3), ("late.tif", 1)])
    deployment = Deployment(impatient.settings, impatient.server.connection)
    impatient.put({"late.tif": image(tmp_path / "late.tif", 1)})
    assert drop_failed(deployment, "x_raw.csv", "missing_input") == 1
    impatient.tick()
    impatient.run_requested()
    assert impatient.report("x_raw.csv").states == {"late.tif": "done"}


# --- who does it, and how often -------------------------------------------------------------------------------------------


def test_two_sensors_at_once_claim_a_manifest_once(centre: Centre, tmp_path: Path) -> None:
    centre.put({f"{number}.tif": image(tmp_path / f"{number}.tif", 1, 64) for number in range(3)})
    with another_instance(tmp_path) as instance:
        other = replace(centre, instance=instance, requested=[], run_keys=set())
        centre.drop("raw.csv", [(f"{number}.tif", 1) for number in range(3)])
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda one: one.tick(), (centre, other)))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda one: one.run_requested(), (centre, other)))
        made = sum(len(one.instance.fetch_materializations(dg.AssetKey("cog"), limit=10).records) for one in (centre, other))
        assert made == 3
        assert len([key for key in centre.input_keys() if "report-" in key and key.endswith(".json")]) == 1


def test_two_runs_of_one_batch_convert_each_image_once(centre: Centre, tmp_path: Path) -> None:
    centre.put({f"{number}.tif": image(tmp_path / f"{number}.tif", 3, 900) for number in range(4)})
    centre.drop("raw.csv", [(f"{number}.tif", 3) for number in range(4)])
    centre.tick()
    [request] = centre.requested
    with another_instance(tmp_path) as instance, ThreadPoolExecutor(2) as pool:
        other = replace(centre, instance=instance)
        results = list(pool.map(lambda one: one.run(request), (centre, other)))
        made = [len(one.instance.fetch_materializations(dg.AssetKey("cog"), limit=10).records) for one in (centre, other)]
    assert all(result.success for result in results)
    assert sorted(made) == [0, 4]


def test_images_in_work_for_one_manifest_make_the_next_wait(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif"), "b.tif": image(tmp_path / "b.tif")})
    centre.drop("one_raw.csv", [("a.tif", 3)])
    centre.drop("two_raw.csv", [("a.tif", 3), ("b.tif", 3)])
    centre.tick()
    assert len(centre.requested) == 1
    centre.tick()
    assert len(centre.requested) == 1
    assert "in work for one_raw.csv" in (centre.cursor or "")
    centre.run_requested()
    centre.tick()
    centre.run_requested()
    assert centre.report("two_raw.csv").states == {"a.tif": "carried_over", "b.tif": "done"}


def test_a_large_manifest_is_several_batches_and_one_report(centre: Centre, tmp_path: Path) -> None:
    small = centre.with_settings(batch_rows=2)
    small.put({f"{number}.tif": image(tmp_path / f"{number}.tif", 1, 64) for number in range(5)})
    small.drop("raw.csv", [(f"{number}.tif", 1) for number in range(5)])
    small.tick()
    assert len(small.requested) == 3
    for request in reversed(small.requested):
        assert not [key for key in small.input_keys() if "report-" in key]
        small.run(request)
    assert list(small.report("raw.csv").states.values()) == ["done"] * 5
    skipped = small.tick()
    assert isinstance(skipped, dg.SkipReason)


def test_a_batch_whose_run_vanished_is_run_again_and_at_last_given_up(centre: Centre, tmp_path: Path) -> None:
    small = centre.with_settings(batch_attempts=2)
    small.put({"a.tif": image(tmp_path / "a.tif")})
    small.drop("raw.csv", [("a.tif", 3), ("nonsense",)])
    for attempt in (1, 2):
        small.tick()
        [request] = small.requested
        assert request.tags["groundtrack/attempt"] == str(attempt)
        small.lose(request)
    skipped = small.tick()
    assert isinstance(skipped, dg.SkipReason)
    assert "settled raw.csv with what there was" in (skipped.skip_message or "")
    assert small.report("raw.csv").classes == {"a.tif": "batch_interrupted", "nonsense": "bad_row"}


def test_what_an_interrupted_run_had_done_is_not_done_again(centre: Centre, tmp_path: Path) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif"), "b.tif": image(tmp_path / "b.tif")})
    centre.instance.add_dynamic_partitions("images", ["a.tif"])
    assert centre.materialize(["cog", "jpeg", "thumbnail", "image_item"], ["a.tif"]).success
    report = centre.convert("raw.csv", [("a.tif", 3), ("b.tif", 3)])
    assert report.states == {"a.tif": "carried_over", "b.tif": "done"}
    assert len(centre.instance.fetch_materializations(dg.AssetKey("cog"), limit=10).records) == 2


@pytest.mark.parametrize("step", ["claimed", "copied", "renamed", "outcomes", "settled"])
def test_a_crash_between_any_two_steps_is_put_right_by_the_next_tick(centre: Centre, tmp_path: Path, step: str) -> None:
    centre.put({"a.tif": image(tmp_path / "a.tif")})
    centre.drop("raw.csv", [("a.tif", 3)])
    drop = centre.source.stat("raw.csv")
    assert drop
    intake = centre.intake()
    claim = intake.examine(drop, 0.0, dict)
    assert isinstance(claim, Claim)
    assert centre.records.put_claim(claim)
    if step != "claimed":
        centre.source.copy(drop, claim.outcome_key("processing"))
    if step not in ("claimed", "copied"):
        centre.source.delete("raw.csv")
    if step in ("outcomes", "settled"):
        failed = Outcome("a.tif", State.FAILED, {}, Failure("x", "y", "z"))
        centre.records.put_outcomes(claim.id, 1, [failed], {"id": "", "url": "", "started_s": 1.0, "ended_s": 2.0})
    if step == "settled":
        settle(centre.source, centre.records, claim, now_s=3.0, products_url="", by="a test")
        centre.source.write(claim.outcome_key("processing"), b"a.tif,3\r\n", content_type="text/csv")
    centre.tick()
    centre.run_requested()
    assert centre.report("raw.csv").states == {"a.tif": "failed" if step in ("outcomes", "settled") else "done"}
    assert not [key for key in centre.input_keys() if key == "raw.csv" or "processing" in key]
    assert len([key for key in centre.input_keys() if key.endswith(".json")]) == 1
