"""On-demand processing as users see it: in the web UI, on the command line, and after somebody pulled a plug."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from platform_assets.cli.demo_dpr import put_adfs
from platform_assets.cli.deployment import Deployment
from platform_assets.dpr import naming
from platform_assets.dpr.sample import PROCESSOR, make_adfs, make_request, make_session, make_task_table
from resources.settings import load
from tests.builders.browser import browser, complaints, open_partition, profile
from tests.builders.commands import run
from tests.builders.platform import TOKEN
from tests.builders.servers import wait_for
from tests.builders.site import Site

STEPS = ("task_table", "processing_units", "auxiliary_files", "payload", "dpr_products", "published_items")
SESSION = make_session()
SLOW_S = 2.0


def slow_table() -> dict[str, Any]:
    """The sample's task table, with units that take their time."""
    table = make_task_table()
    for step in table["pipelines"][0]["steps"]:
        step["parameters"] = {"simulator": {"seconds": SLOW_S}}
    return table


def prepare(site: Site) -> None:
    """Put everything into the buckets but requests."""
    put(site, f"dpr/tasktables/{PROCESSOR}.json", slow_table())
    put_adfs(Deployment(load(home=site.home, input_bucket="raw", output_bucket="products"), site.s3), make_adfs())
    for name, content in SESSION.blocks.items():
        site.source.write(f"sessions/{SESSION.id}/{name}", content, content_type="application/octet-stream")
    put(site, f"sessions/{SESSION.id}/{SESSION.id}.json", SESSION.document)


def put(site: Site, key: str, document: Any) -> str:
    return site.source.write(key, json.dumps(document).encode(), content_type="application/json")


def drop(site: Site, name: str, **changes: Any) -> str:
    """Drop a request and return its partition."""
    return naming.request_id(name, put(site, f"requests/{name}.json", make_request(SESSION) | changes))


def rows(site: Site) -> dict[str, dict[str, Any]]:
    """The newest report's row of every request."""
    found: dict[str, dict[str, Any]] = {}
    for ref in site.target.list("_groundtrack/requests/", ending=("report.json",)):
        document = json.loads(site.target.read(ref.key, limit_bytes=1 << 24)[0])
        found |= {row["request"]: row for row in document["requests"]}
    return found


def wait_until_ended(site: Site, *names: str) -> dict[str, dict[str, Any]]:
    wait_for(lambda: set(names) <= set(rows(site)) and site.idle(), f"end of {len(names)} requests", 200)
    return rows(site)


# --- the web UI -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def requests(site: Site) -> dict[str, str]:
    """Partitions of a request that was published, and of one that failed."""
    names = {"good": drop(site, "good"), "typo": drop(site, "typo", pipeline="ful")}
    prepare(site)
    ended = wait_until_ended(site, *names.values())
    assert ended[names["good"]]["state"] == "done", ended
    assert ended[names["typo"]]["error_class"] == "unknown_pipeline", ended
    return names


@pytest.fixture(scope="module")
def chromium(requests: dict[str, str]) -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def user(chromium: Browser, site: Site) -> Iterator[Page]:
    with profile(chromium) as context:
        found = complaints(context)
        page = context.new_page()
        page.goto(f"{site.up.url}/?token={TOKEN}")
        yield page
        assert found == []


def test_an_item_leads_back_to_its_session_and_that_to_every_block(site, user, requests):
    open_partition(user, "published_items", requests["good"])
    user.get_by_role("link", name=SESSION.id).click()
    for block in SESSION.blocks:
        expect(user.get_by_text(block)).to_be_visible()


def test_every_search_and_what_it_found_is_on_the_page(site, user, requests):
    open_partition(user, "auxiliary_files", requests["good"])
    table = user.get_by_role("table").filter(has_text="alternative").last
    for file, alternative, found in (("OSF", "1", "ORBSCT"), ("ORB", "1", "nothing"), ("ORB", "2", "RESORB"), ("ETAD", "1", "nothing")):
        row = table.get_by_role("row").filter(has=user.get_by_role("cell", name=file, exact=True))
        expect(row.filter(has_text=found).filter(has=user.get_by_role("cell", name=alternative, exact=True))).to_be_visible()


def test_the_payload_is_shown_with_references_in_place_of_secrets(site, user, requests):
    open_partition(user, "payload", requests["good"])
    user.get_by_text("[Show Markdown]").click()
    expect(user.get_by_role("dialog").get_by_text("${AWS_SECRET_ACCESS_KEY}").first).to_be_visible()


def test_the_reason_of_a_request_that_failed_is_some_clicks_away(site, user, requests):
    open_partition(user, "published_items", requests["typo"])
    user.get_by_role("button", name="View all historical events").click()
    dialog = user.get_by_role("dialog")
    dialog.get_by_text(requests["typo"], exact=True).last.click()
    expect(dialog.get_by_text("has no pipeline 'ful'; pipelines: full").first).to_be_visible()


def test_the_graph_leads_from_session_and_request_to_the_items(site, user):
    user.goto(f"{site.up.url}/locations/__repository__@groundtrack/asset-groups/dpr")
    for name in ("session", "request", *STEPS):
        expect(user.locator("svg").get_by_text(name, exact=True).first).to_be_visible()


def test_the_reason_of_a_failed_request_does_not_hide_what_was_reached(site, requests):
    statuses = {asset: site.statuses(asset)[requests["typo"]] for asset in STEPS}
    assert statuses == {"task_table": "materialized"} | dict.fromkeys(STEPS[1:], "failed")


def test_a_backfill_of_a_request_finds_it_done(site, requests):
    keys = ", ".join(f'{{path: ["{asset}"]}}' for asset in STEPS)
    answer = site.up.ask(
        f'mutation {{ launchPartitionBackfill(backfillParams: {{partitionNames: ["{requests["good"]}"], assetSelection: [{keys}]}}) '
        "{ __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"
    )["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    status = f'{{ partitionBackfillOrError(backfillId: "{answer["backfillId"]}") {{ ... on PartitionBackfill {{ status }} }} }}'
    wait_for(lambda: "COMPLETED" in site.up.ask(status)["partitionBackfillOrError"]["status"], "end of the backfill", 200)
    assert site.up.ask(status)["partitionBackfillOrError"]["status"] == "COMPLETED_SUCCESS"


# --- a plug is pulled -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A platform that is hurt."""
    site = Site(tmp_path_factory.mktemp("dpr-kills") / "home", dask_workers=2, sensor_interval_s=1)
    prepare(site)
    yield site
    site.end()


@pytest.mark.parametrize("plug", ["daemon", "dask worker", "run worker", "code server", "power"])
def test_whatever_is_killed_every_request_is_published_whole_and_once(victim, plug, request):
    site, name = victim, plug.replace(" ", "-")
    names = [drop(site, f"{name}-{number}", owner_id=f"{name}-{number}") for number in range(4)]
    wait_for(lambda: bool(site.busy_dask_workers()), "first request on a worker", 150)
    pull(site, plug)
    ended = wait_until_ended(site, *names)
    assert {row["state"] for key, row in ended.items() if key in names} <= {"done", "carried_over"}, ended
    assert {site.statuses(asset)[key] for asset in STEPS for key in names} == {"materialized"}
    assert contradictions(site, names, ended) == []


def pull(site: Site, plug: str) -> None:
    if plug in ("daemon", "code server"):
        site.up.kill(plug.replace(" ", "_"))
    elif plug == "power":
        site.cut_power()
        site.start()
    else:
        [process, *_] = site.busy_dask_workers() if plug == "dask worker" else site.run_workers()
        kill(process)


def kill(process: psutil.Process) -> None:
    process.kill()
    process.wait(10)


def contradictions(site: Site, names: list[str], ended: dict[str, dict[str, Any]]) -> list[str]:
    """Return what is not as if nothing had happened: folders that no item names, payloads with secrets."""
    wrong = []
    secret = site.up.state.environment["AWS_SECRET_ACCESS_KEY"].encode()
    for name in names:
        [key] = ended[name]["items"]
        item = json.loads(site.target.read(key, limit_bytes=1 << 24)[0])
        [asset] = item["assets"].values()
        owner = name.partition(".")[0]
        folders = {ref.key.split("/")[2] for ref in site.target.list(f"{owner}/s01siwraw/")}
        wrong += [f"{name}: {folders}"] if folders != {asset["href"].rpartition("/")[2]} else []
        records = site.target.list(naming.record_key(name, "x").removesuffix("x"))
        wrong += [ref.key for ref in records if secret in site.target.read(ref.key, limit_bytes=1 << 24)[0]]
    return wrong


# --- the command ----------------------------------------------------------------------------------------------------------


def test_the_demo_brings_a_session_to_published_items_and_says_where_to_look(tmp_path: Path):
    done = run(tmp_path, "groundtrack", "demo", "dpr", "--exit", "--port", "0", timeout_s=200, GROUNDTRACK_HOME="home")
    assert done.code == 0, done.text
    assert f"Session {SESSION.id} with 6 blocks" in done.text
    assert "has no pipeline 'ful'; pipelines: full" in done.text
    assert "Name one of the pipelines that the message lists." in done.text
    [origins] = [line for line in done.text.splitlines() if "Derived from" in line]
    assert all(name in origins for name in (SESSION.id, "AUX_RESORB", "MPL_ORBSCT"))
    assert not [word for word in ("Traceback", "Warning", "None") if word in done.text]
