"""The web UI in a browser: what users see of their images, what they start by clicking, and what other sites cannot do."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect

from platform_assets.common.keys import partition_key
from tests.builders.browser import another_site, browser, complaints, metadata, open_partition, profile
from tests.builders.noise import noise_image
from tests.builders.platform import TOKEN
from tests.builders.servers import wait_for
from tests.builders.site import PRODUCTS, Site

GROUP = "/locations/__repository__@groundtrack/asset-groups/imagery"
GRAPH = {
    "image_manifest": [],
    "raw_image": ["image_manifest"],
    "cog": ["raw_image"],
    "jpeg": ["raw_image"],
    "thumbnail": ["raw_image"],
    "image_item": ["cog", "jpeg", "thumbnail"],
    "manifest_report": ["image_item", "image_manifest"],
}
GOOD, BAD = "web/frame 1.tif", "web/cut.tif"
SIZE_PX = 300
LIMIT_BYTES = 1 << 30

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def archive(site: Site) -> Site:
    """A platform that has converted one image, and failed to convert another."""
    image = noise_image(SIZE_PX, 1)
    site.put({GOOD: image, BAD: image[: len(image) // 2]})
    site.drop("web/roll_raw.csv", [(GOOD, 3), (BAD, 3)])
    site.wait_until_settled("web")
    return site


@pytest.fixture(scope="module")
def chromium(archive: Site) -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def anonymous(chromium: Browser) -> Iterator[Page]:
    """A browser that does not know the token."""
    with profile(chromium) as context:
        yield context.new_page()


@pytest.fixture
def user(chromium: Browser, site: Site) -> Iterator[Page]:
    """A browser that has opened the printed address; at the end, no page has complained."""
    with profile(chromium) as context:
        found = complaints(context)
        page = context.new_page()
        page.goto(f"{site.up.url}/?token={TOKEN}")
        yield page
        # A sandboxed image that is opened by itself asks for an icon, and may not have it.
        assert [complaint for complaint in found if "/favicon.ico" not in complaint] == []


def open_image(page: Page, asset: str, key: str) -> None:
    """Choose an image in the list of an asset's partitions."""
    open_partition(page, asset, partition_key(key))


def product_link(page: Page) -> Locator:
    return page.get_by_role("link", name="/objects/")


def read(site: Site, key: str) -> bytes:
    return site.target.read(key, limit_bytes=LIMIT_BYTES)[0]


# --- what users see -------------------------------------------------------------------------------------------------------


def test_the_graph_shows_every_asset_and_what_it_is_made_from(site, user):
    user.goto(site.up.url + GROUP)
    for name in GRAPH:
        expect(user.locator("svg").get_by_text(name, exact=True).first).to_be_visible()
    expect(user.locator("path[marker-end]")).to_have_count(sum(map(len, GRAPH.values())))
    group = '{groupName: "imagery", repositoryName: "__repository__", repositoryLocationName: "groundtrack"}'
    nodes = site.up.ask(f"{{ assetNodes(group: {group}) {{ assetKey {{ path }} dependencyKeys {{ path }} }} }}")["assetNodes"]
    assert {node["assetKey"]["path"][0]: sorted(key["path"][0] for key in node["dependencyKeys"]) for node in nodes} == GRAPH


def test_the_partition_of_a_converted_image_shows_its_thumbnail(site, user):
    open_image(user, "thumbnail", GOOD)
    user.get_by_text("[Show Markdown]").click()
    image = user.get_by_role("dialog").get_by_role("img", name="thumbnail")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.decode().then(() => Math.min(image.naturalWidth, image.naturalHeight))") > 100


def test_the_partition_of_a_converted_image_shows_what_was_made_and_how_fast(site, user):
    open_image(user, "cog", GOOD)
    expect(user.get_by_text("Materialized", exact=True)).to_be_visible()
    shown, cog = metadata(user), read(site, GOOD)
    assert shown["object"] == f"/objects/products/{quote(GOOD)}"
    assert shown["dagster/size_bytes"] == str(len(cog))
    assert shown["checksum"] == "1220" + hashlib.sha256(cog).hexdigest()
    assert float(shown["compression_ratio"]) == pytest.approx(3 * SIZE_PX**2 / len(cog), abs=0.01)
    assert 0 < float(shown["seconds"]) < 100
    assert (shown["bands"], shown["crs"], shown["width"], shown["height"]) == ("3", "EPSG:32632", str(SIZE_PX), str(SIZE_PX))


def test_the_link_of_a_jpeg_opens_it(site, user):
    open_image(user, "jpeg", GOOD)
    with user.expect_popup() as opened:
        product_link(user).click()
    image = opened.value.locator("img")
    assert image.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [SIZE_PX, SIZE_PX]
    assert user.request.get(opened.value.url).body() == read(site, "web/frame 1.jpg")


def test_the_link_of_a_cog_downloads_it(site, user):
    open_image(user, "cog", GOOD)
    with user.expect_download() as download:
        product_link(user).click()
    assert Path(download.value.path()).read_bytes() == read(site, GOOD)
    assert download.value.suggested_filename == "frame 1.tif"


def test_the_link_of_a_report_opens_it_with_its_images(site, user):
    [manifest] = [key for key in site.statuses("manifest_report") if key.startswith("web~~")]
    user.goto(f"{site.up.url}/assets/manifest_report?view=partitions&partition={quote(manifest)}")
    with user.expect_popup() as opened:
        user.get_by_role("link", name=".html").click()
    report = opened.value
    expect(report.get_by_text(BAD).first).to_be_visible()
    for image in report.locator("img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert report.locator("img").count() == 1


def test_the_reason_of_a_failure_is_some_clicks_away(site, user):
    open_image(user, "cog", BAD)
    expect(user.get_by_text("failed, and did not materialize this asset")).to_be_visible()
    user.get_by_role("button", name="View all historical events").click()
    dialog = user.get_by_role("dialog")
    dialog.get_by_text(partition_key(BAD), exact=True).last.click()
    failure = next(row["failure"] for row in site.report("web")["rows"] if row["key"] == BAD)
    for label in ("stage", "error_class", "message", "what_to_do"):
        expect(dialog.get_by_role("row", name=label).get_by_text(failure[label], exact=True)).to_be_visible()


def test_a_backfill_of_some_images_is_launched_by_clicking(site, user):
    keys = [f"pick/{number}.tif" for number in (1, 2, 3)]
    site.put(dict.fromkeys(keys, noise_image(SIZE_PX, 1)))
    site.add_partitions(*keys)
    chosen, left = keys[:2], keys[2]

    user.goto(site.up.url + GROUP)
    user.get_by_role("button", name="Materialize all").click()
    user.get_by_role("dialog").get_by_text("Select a partition").click()
    user.get_by_placeholder("Filter partitions").fill("pick")
    for key in chosen:
        user.get_by_role("menuitem", name=partition_key(key)).click()
    user.keyboard.press("Escape")
    expect(user.get_by_role("dialog").get_by_text("2 partitions", exact=True)).to_be_visible()
    user.get_by_role("button", name="Launch backfill").click()
    expect(user.get_by_text("Created backfill")).to_be_visible()

    partitions = [partition_key(key) for key in chosen]
    wait_for(
        lambda: all(site.statuses(asset)[key] == "materialized" for asset in PRODUCTS for key in partitions), "end of the backfill", 150
    )
    for key in chosen:
        open_image(user, "image_item", key)
        expect(user.get_by_text("Materialized", exact=True)).to_be_visible()
        assert user.request.get(site.up.url + metadata(user)["object"]).ok
    assert site.statuses("cog")[partition_key(left)] == "unmaterialized"
    assert {ref.key for ref in site.target.list("pick/")} == {name for key in chosen for name in (key, key.replace(".tif", ".jpg"))}


# --- what others cannot do ------------------------------------------------------------------------------------------------


def test_without_the_token_nothing_is_shown(site, anonymous):
    secrets = (partition_key(GOOD), "raw_image", "imagery")
    for path in (
        "/",
        GROUP,
        "/assets/cog?view=partitions",
        f"/objects/products/{quote(GOOD)}",
        "/graphql?query={version}",
        "/?token=wrong",
    ):
        answer = anonymous.goto(site.up.url + path)
        assert answer, path
        assert answer.status == 401, path
        assert not [secret for secret in secrets if secret in answer.text()], path


def test_the_token_can_be_typed(site, anonymous):
    anonymous.goto(site.up.url)
    anonymous.get_by_label("Token").fill(TOKEN)
    anonymous.get_by_role("button", name="Open").click()
    expect(anonymous.get_by_role("link", name="Catalog")).to_be_visible()
    assert TOKEN not in anonymous.url


def test_an_address_with_the_token_opens_the_very_page(site, anonymous):
    anonymous.goto(f"{site.up.url}{GROUP}?token={TOKEN}")
    expect(anonymous.get_by_text("raw_image", exact=True).first).to_be_visible()
    assert anonymous.url == site.up.url + GROUP


def mutation(key: str) -> str:
    where = '{repositoryLocationName: "groundtrack", repositoryName: "__repository__"}'
    asked = f'partitionsDefName: "images", partitionKey: "{key}", repositorySelector: {where}'
    return f"mutation {{ addDynamicPartition({asked}) {{ __typename }} }}"


FETCH = """([url, method, body, type, mode]) => fetch(url, {
  method, body, mode: mode || 'no-cors', credentials: 'include', headers: type ? {'Content-Type': type} : {}}).catch(() => 0)"""
IMAGE = "url => new Promise(done => { const image = new Image(); image.onload = image.onerror = done; image.src = url })"
FORM = """([url, method, type, query]) => {
  const form = document.createElement('form'), input = document.createElement('input')
  Object.assign(form, {action: url, method, enctype: type}); Object.assign(input, {name: 'query', value: query})
  form.append(input); document.body.append(form); form.submit() }"""
FRAME = """url => new Promise(done => {
  const frame = document.createElement('iframe'); frame.onload = done; frame.src = url; document.body.append(frame) })"""


@pytest.fixture
def victim(chromium: Browser, site: Site) -> Iterator[BrowserContext]:
    """A browser in which the web UI is open; what pages complain about is not looked at."""
    with profile(chromium) as context:
        context.new_page().goto(f"{site.up.url}/?token={TOKEN}")
        yield context


def test_the_ui_itself_can_change_something(site, victim):
    """Else the tests of other sites would show nothing."""
    body = json.dumps({"query": mutation("by-the-ui.tif")})
    victim.pages[0].evaluate(FETCH, [f"{site.up.url}/graphql", "POST", body, "application/json", "same-origin"])
    assert "by-the-ui.tif" in site.statuses("cog")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_site_changes_nothing(site, victim, host):
    """`localhost` is another site, to which no cookie goes; 127.0.0.1 on another port is the same one, to which it does."""
    url, text = f"{site.up.url}/graphql", mutation("evil.tif")
    with another_site(host) as evil:
        page = victim.new_page()
        asked: list[Request] = []
        page.on("request", lambda request: asked.append(request) if request.url.startswith(site.up.url) else None)
        page.goto(evil)
        page.evaluate(FETCH, [f"{url}?query={quote(text)}", "GET", None, None])
        page.evaluate(IMAGE, f"{url}?query={quote(text)}")
        page.evaluate(FETCH, [url, "POST", json.dumps({"query": text}), "text/plain"])
        page.evaluate(FETCH, [url, "POST", f"query={quote(text)}", "application/x-www-form-urlencoded"])
        for method, kind in (
            ("get", "application/x-www-form-urlencoded"),
            ("post", "application/x-www-form-urlencoded"),
            ("post", "text/plain"),
        ):
            page.goto(evil)
            with page.expect_navigation(url=f"{url}**"):
                page.evaluate(FORM, [url, method, kind, text])
    answers = [request.response() for request in asked]
    assert len(answers) == 7
    assert all(400 <= answer.status < 500 for answer in answers if answer)
    assert "evil.tif" not in site.statuses("cog")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_site_cannot_frame_the_ui(site, victim, host):
    with another_site(host) as evil:
        page = victim.new_page()
        page.goto(evil)
        for path in ("/", "/objects/products/web/frame%201.jpg"):
            page.evaluate(FRAME, site.up.url + path)
        for frame in page.frames[1:]:
            frame.wait_for_url(lambda url: url.startswith("chrome-error:"))
        assert len(page.frames) == 3
