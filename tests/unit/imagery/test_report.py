import base64
import csv
import hashlib
import json
import re
import shlex
from datetime import timedelta
from html.parser import HTMLParser
from io import StringIO

import pytest

from platform_assets.common.values import Failure, ObjectRef, Outcome, State
from platform_assets.imagery import manifest, naming, stac
from platform_assets.imagery.report import BatchReport, Row, Run, failed_csv, processed_csv, report_csv, report_json, rows_csv
from platform_assets.imagery.report_map import Shape, map_svg
from platform_assets.imagery.report_page import report_html
from tests.builders.images import MD5, NOW, image_facts, image_job, item_document

HOSTILE = "x/<script>alert(1)</script>\"'&{{csp}}\u202egnp\x07.tif"
THUMBNAIL = base64.b64encode(b"\xff\xd8jpeg" * 20).decode()
VOID = {"meta", "link", "br", "img", "input", "hr"}


def done(line, key="county/a.tif", state=State.DONE, thumbnail=THUMBNAIL, **facts):
    job = image_job(key, source=ObjectRef(key, MD5, 190_000, "2026-03-31T09:00:00Z"))
    found = dict(stac.facts_from_item(item_document(job, image_facts(**facts)), naming.item_key(key)))
    return Row(line, (key, "3"), Outcome(key, state, found | {"thumbnail": thumbnail}, None, 1, 2.5))


def failed(line, key="county/b.tif", code="corrupt_image", message="strip 3 is cut short", traceback="", attempts=1):
    failure = Failure("convert", code, message, "Upload it again.", traceback)
    return Row(line, (key, "3"), Outcome(key, State.FAILED, {}, failure, attempts, 0.25 * attempts))


def report(*rows, **changes):
    facts = {
        "id": "a~~test_raw.csv.20260401-101500",
        "manifest": "a/test 1_raw.csv",
        "bucket": "raw",
        "started": NOW,
        "ended": NOW + timedelta(seconds=120),
        "rows": rows,
        "products_url": "s3://products/",
        "runs": [Run("3f1c2a77-1111", "http://127.0.0.1:3000/runs/3f1c2a77-1111"), Run("77aa")],
    }
    return BatchReport(**(facts | changes))


class Page(HTMLParser):
    """The elements of a page; every one that is opened is closed."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.elements = []
        self._texts = []
        self._open = []
        self.feed(html.decode())
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ("style", "script"):
            self._texts.append(data)

    @property
    def text(self):
        return "".join(self._texts)

    def of(self, tag, **attributes):
        return [found for name, found in self.elements if name == tag and attributes.items() <= found.items()]


# --- the CSVs that scripts of the reference read ------------------------------------------------------------------------


def test_every_row_is_processed_or_failed_as_it_was_given():
    quoted = Row(3, ('county/"c", d.tif', " 3"), Outcome("c", State.CARRIED_OVER, {}))
    whole = report(done(1), failed(2), quoted)
    assert processed_csv(whole) == b'county/a.tif,3\r\n"county/""c"", d.tif", 3\r\n'
    assert failed_csv(whole) == b"county/b.tif,3\r\n"


def test_there_is_no_file_without_rows():
    assert failed_csv(report(done(1))) is None
    assert processed_csv(report(failed(1))) is None


def test_failed_rows_can_be_dropped_again():
    rows = [failed(1, "a/ü 1.tif"), failed(2, 'b/"x",.tif'), failed(3, "=c.tif")]
    again = manifest.parse(failed_csv(report(*rows)), input_prefix="")
    assert [(row.key, row.bands, row.problem) for row in again] == [(row.key, 3, None) for row in rows]


def test_rows_of_any_shape_can_be_written():
    assert rows_csv([("a",), ("b", "c", "d", "e", "f"), ()]) == b"a\r\nb,c,d,e,f\r\n\r\n"


# --- report.csv and report.json -----------------------------------------------------------------------------------------


def read_csv(data: bytes):
    return list(csv.DictReader(StringIO(data.decode(), newline="")))


def test_the_csv_tells_of_every_row_how_it_ended():
    good, bad = read_csv(report_csv(report(done(1), failed(2, attempts=3))))
    assert (good["key"], good["state"], good["attempts"], good["seconds"]) == ("county/a.tif", "done", "1", "2.5")
    assert (good["source_bytes"], good["cog_bytes"], good["cog_url"]) == ("190000", "90000", "s3://products/county/a.tif")
    assert good["item_url"] == "s3://products/_stac/imagery/county/county~~a.tif.json"
    assert (good["stage"], good["how_to_retry"]) == ("", "")
    assert (bad["state"], bad["stage"], bad["error_class"], bad["message"]) == (
        "failed",
        "convert",
        "corrupt_image",
        "strip 3 is cut short",
    )
    assert (bad["attempts"], bad["line"], bad["what_to_do"]) == ("3", "2", "Upload it again.")
    assert shlex.split(bad["how_to_retry"]) == ["groundtrack", "retry", "a/test 1_raw.csv", "--class", "corrupt_image"]


@pytest.mark.parametrize("key", ["=cmd()|'x'!A1.tif", "+1.tif", "-1.tif", "@sum.tif"])
def test_a_key_that_a_spreadsheet_would_compute_is_made_text(key):
    (row,) = read_csv(report_csv(report(failed(1, key))))
    assert row["key"] == f"'{key}"


def test_an_address_is_encoded_for_http_and_plain_for_s3():
    key = "county/a #1.tif"
    assert report(products_url="http://127.0.0.1:9105/products/").url(key) == "http://127.0.0.1:9105/products/county/a%20%231.tif"
    assert report().url(key) == "s3://products/county/a #1.tif"


def test_the_json_has_everything_but_the_pictures():
    document = json.loads(
        report_json(report(done(1), failed(2, HOSTILE), done(3, state=State.CARRIED_OVER), failed(4, code="time_limit")), "a run")
    )
    totals = document["totals"]
    assert (totals["rows"], totals["done"], totals["carried_over"], totals["failed"]) == (4, 1, 1, 2)
    assert totals["failed_by_class"] == {"corrupt_image": 1, "time_limit": 1}
    assert (totals["seconds"], totals["images_per_minute"]) == (120, 0.5)
    assert (totals["source_bytes"], totals["product_bytes"]) == (190_000, 129_000)
    assert document["rows"][0]["facts"]["products"]["cog"]["checksum"].startswith("1220")
    assert "thumbnail" not in document["rows"][0]["facts"]
    assert document["rows"][1]["key"] == HOSTILE
    assert document["rows"][1]["failure"]["error_class"] == "corrupt_image"


def test_a_rejected_manifest_has_a_report_that_says_why():
    why = Failure("manifest", "bad_manifest", "the manifest is not UTF-8", "Drop a CSV in UTF-8.")
    rejected = report(rejected=why)
    assert json.loads(report_json(rejected, "a run"))["rejected"]["error_class"] == "bad_manifest"
    assert read_csv(report_csv(rejected)) == []
    page = Page(report_html(rejected))
    assert "The manifest was refused: the manifest is not UTF-8" in page.text
    assert "Drop a CSV in UTF-8." in page.text


def test_a_batch_that_took_no_time_has_no_throughput():
    assert report(done(1), ended=NOW).totals.images_per_minute == 0
    assert report_html(report(done(1), ended=NOW))


# --- report.html --------------------------------------------------------------------------------------------------------


def test_the_page_shows_what_failed_why_and_how_to_retry():
    page = Page(report_html(report(done(1), failed(2), failed(3, "c.tif", "time_limit", "too slow", "Traceback: here"))))
    assert "2 of 3 images failed." in page.text
    for word in ("county/b.tif", "corrupt_image", "strip 3 is cut short", "Upload it again.", "Traceback: here", "1 converted", "2 failed"):
        assert word in page.text
    commands = {found["data-copy"] for found in page.of("button") if "data-copy" in found}
    retry = "groundtrack retry 'a/test 1_raw.csv'"
    assert {retry, f"{retry} --class corrupt_image", f"{retry} --class time_limit"} <= commands


def test_a_page_without_failures_says_so_and_has_no_failures():
    page = Page(report_html(report(done(1), done(2, "b.tif"))))
    assert "All 2 images are done." in page.text
    assert "What went wrong" not in page.text


def test_a_hostile_key_or_message_stays_text():
    rows = [done(1, HOSTILE.replace("\x07", "")), failed(2, HOSTILE, HOSTILE, HOSTILE, HOSTILE)]
    html = report_html(
        report(*rows, manifest=HOSTILE, id=HOSTILE, bucket=HOSTILE, runs=[Run(HOSTILE, "javascript:alert(1)")]), csv_name=HOSTILE
    )
    page = Page(html)
    assert len(page.of("script")) == 1
    assert "x/<script>alert(1)</script>\"'&{{csp}}\\u202egnp" in page.text
    assert "\u202e" not in html.decode()
    assert "\x07" not in html.decode()
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert not attributes.get("href", "#").startswith("javascript:")


def test_only_the_pages_own_script_and_style_may_run():
    html = report_html(report(done(1), failed(2, HOSTILE))).decode()
    (policy,) = (found["content"] for found in Page(html.encode()).of("meta", **{"http-equiv": "Content-Security-Policy"}))
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        content = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert " style=" not in html, "a style in an attribute would be blocked"


def test_the_page_asks_for_nothing_from_outside():
    page = Page(report_html(report(done(1), failed(2), products_url="http://127.0.0.1:9105/products/")))
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert attributes.get("src", "data:").startswith("data:")
        if "href" in attributes:
            assert tag == "a"
    html = report_html(report(done(1))).decode()
    assert "@import" not in html
    assert "url(" not in html
    assert "fetch(" not in html


def test_a_thumbnail_that_is_not_base64_is_left_out():
    bad = 'x" onerror="alert(1)'
    page = Page(report_html(report(done(1), done(2, "b.tif", thumbnail=bad), done(3, "c.tif", thumbnail=""))))
    assert [found["src"] for found in page.of("img")] == [f"data:image/jpeg;base64,{THUMBNAIL}"]


def test_an_image_nowhere_on_earth_is_counted_and_one_alone_has_no_map():
    lost = done(2, "lost.tif", crs_wkt="", transform=None)
    assert "1 without georeference" in Page(report_html(report(done(1), lost))).text
    page = Page(report_html(report(lost)))
    assert "None of the images is georeferenced." in page.text
    assert not page.of("svg", id="map-detail")


def test_every_footprint_is_on_the_map_under_its_key():
    page = Page(report_html(report(done(1), done(2, "b.tif", transform=(310000.0, 10.0, 0.0, 4790000.0, 0.0, -10.0)))))
    assert len(page.of("path", **{"class": "fp"})) == 2
    assert len(page.of("svg", role="img")) == 3
    assert all(found["aria-label"] for found in page.of("svg"))


def test_ten_thousand_rows_stay_small_and_what_is_left_out_is_said():
    good, bad = done(1, thumbnail=base64.b64encode(b"\xff" * 30_000).decode()), failed(2, message="m" * 5000, traceback="t" * 20_000)
    rows = [*[good] * 6000, *[bad] * 4000]
    html = report_html(report(*rows), csv_name="x_report-20260401-101500.csv")
    assert len(html) < 15_000_000
    page = Page(html)
    assert len(page.of("img")) <= 200
    assert sum(len(found["src"]) for found in page.of("img")) < 6_100_000
    assert len(page.of("tr", **{"data-row": None})) == 3000
    assert len(page.of("path", **{"class": "fp"})) == 2000
    assert "the first 2,000 of 4,000; all are in x_report-20260401-101500.csv" in page.text
    assert "the first 1,000 of 6,000; all are in x_report-20260401-101500.csv" in page.text
    assert "2,000 of 6,000 footprints" in page.text


# --- the map ------------------------------------------------------------------------------------------------------------


def square(west, south, size):
    ring = [[west, south], [west + size, south], [west + size, south + size], [west, south + size], [west, south]]
    return Shape("a", {"type": "Polygon", "coordinates": [ring]})


def view_box(svg, name):
    return [float(value) for value in re.search(f'id="{name}"[^>]*viewBox="([^"]*)"', svg)[1].split()]


@pytest.mark.parametrize(
    "shape", [square(-89.5, 43.1, 0.01), square(-89.5, 43.1, 1e-6), square(10, 60, 20), square(-179, -89.5, 1), square(0, 0, 0.3)]
)
def test_the_enlarged_map_shows_the_whole_footprint_at_two_to_one(shape):
    svg = map_svg([shape])
    x, y, width, height = view_box(svg, "map-detail")
    shrink = float(re.search(r'id="map-detail".*?scale\(([\d.]+) 1\)', svg)[1])
    assert width / height == pytest.approx(2, rel=1e-3)
    for lon, lat in shape.geometry["coordinates"][0]:
        assert x <= lon * shrink <= x + width
        assert y <= -lat <= y + height
    labels = re.findall(r"<text [^>]*>([^<]*)</text>", svg)
    assert 3 <= len(labels) <= 20
    assert len(set(labels)) == len(labels) - (labels.count("0°") == 2)


def test_footprints_all_over_the_world_are_shown_on_the_world():
    svg = map_svg([square(-170, 10, 1), square(170, -10, 1)])
    assert view_box(svg, "map-detail") == [-180, -90, 360, 180]
    assert "map-world" not in svg
