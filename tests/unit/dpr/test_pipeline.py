import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Event

import pytest
import yaml

from platform_assets.common.errors import Conflict, MissingInput, StoreUnavailable
from platform_assets.common.stages import Stages
from platform_assets.common.values import Outcome, State
from platform_assets.dpr import naming
from platform_assets.dpr.errors import AuxiliaryNotFound, MissingInputProduct, MissingMapping, MissingSecret, SecretInClear
from platform_assets.dpr.pipeline import clean_up, find_done, publish_catalogue
from platform_assets.dpr.processors import ProcessorCrashed, ProcessorFailed
from platform_assets.dpr.products import MissingOutput, NotPublishable, UnreadableProduct
from platform_assets.dpr.publication import Record, Replaced
from platform_assets.dpr.simulator import Fault, Faults, Simulator
from platform_assets.dpr.stac import NoOrigin
from platform_assets.dpr.storage import read_storage
from tests.builders.bucket import MemoryBucket
from tests.builders.dpr import as_json, auxiliary, item, storage, task_table
from tests.builders.dpr_centre import SECRETS, TABLE, Centre, Written
from tests.builders.stac_validation import validation_error

NAMES = ["payload.yaml", "processor.log", "publication.json"]


@pytest.fixture
def centre(tmp_path):
    return Centre(tmp_path / "share")


def kept(centre, job="first.0a1b2c3d"):
    """Return what is kept of a request."""
    place = naming.record_key(job, "x")[:-1]
    return [ref.key.removeprefix(place) for ref in centre.target.list(place)]


def every_text(centre):
    """Return all that is stored anywhere, as one text."""
    return b"\n".join(found.data for bucket in centre.buckets.made.values() for found in bucket._objects.values()).decode(errors="replace")


# --- a whole request (C21) ----------------------------------------------------------------------------------------------


def test_a_request_goes_all_the_way_to_its_items(centre):
    stages = Stages()
    state, facts = centre.process(stages=stages)
    assert (state, list(centre.items())) == (State.DONE, [row["id"] for row in facts["items"]])
    assert [validation_error(found) for found in centre.items().values()] == ["", ""]
    assert list(stages.seconds) == ["look_up", "plan", "payload", "process", "check", "publish", "catalogue"]
    assert facts["seconds_by_stage"].keys() == stages.seconds.keys()
    assert kept(centre) == NAMES
    assert list(centre.disk.rglob("*")) == []
    json.dumps(facts)


def test_the_flow_of_the_reference_system_with_two_auxiliary_files_and_two_products(centre):
    centre.put_item(auxiliary("GAIN_A", "aux", "AUX_GAIN"))
    centre.put_table(two_outputs())
    job = centre.job(s3_payload_file="s3://work/ana/payload.yaml", generated_product_to_collection_identifier=TWO_ROWS)
    _, facts = centre.process(job)
    told = [name for name in facts if name in ("table", "searches", "payload")]
    assert (told, [row["adf"] for row in facts["auxiliary"]]) == (["table", "searches", "payload"], ["ORB", "GAIN"])
    assert [verb for verb in centre.buckets.bucket("work").calls if verb in ("create", "write", "delete")] == ["create", "delete"]
    assert [(row["output"], row["collection"]) for row in facts["items"]] == [("geo", "maps"), ("log", "logs")]
    for found in (*centre.items("maps").values(), *centre.items("logs").values()):
        relations = [(link["rel"], link.get("title")) for link in found["links"][3:]]
        assert relations == [
            ("derived_from", "S1C_A"),
            ("derived_from", "ORB_NEW"),
            ("derived_from", "GAIN_A"),
            ("processing-execution", "run run-1"),
        ]


TWO_ROWS = [
    {"name": "geo", "product_type": "*", "collection_name": "maps"},
    {"name": "log", "product_type": "log", "collection_name": "logs"},
]


def two_outputs():
    """A task table of whose outputs both are products, one each."""
    table = task_table()
    table["units"][2]["output_products"][1] |= {"mode": "always", "mandatory": True}
    table["io"]["output"][3]["engine"] = "cpm_zarr"
    table["pipelines"][0]["steps"][2]["parameters"] = {"simulator": {"products": 1}}
    return table


def test_the_outcome_tells_what_was_looked_up_searched_run_and_made(centre):
    _, facts = centre.process()
    assert facts["table"] == {"key": TABLE, "name": "wave", "version": "1.2", "specification": "2.0_draftA"}
    assert [unit["name"] for unit in facts["units"]] == ["Calib.1", "Terrain.2", "Geo.3"]
    assert [[attempt["found"] for attempt in search["attempts"]] for search in facts["searches"]] == [[[], ["ORB_NEW"]], [[]]]
    assert facts["inputs"] == [{"name": "slc", "id": "S1C_A", "collection": "slcs", "key": "_stac/slcs/items/S1C_A.json"}]
    assert [(row["adf"], row["id"], row["key"]) for row in facts["auxiliary"]] == [("ORB", "ORB_NEW", "_stac/aux/items/ORB_NEW.json")]
    assert facts["processor"]["versions"] == {"simulator": "1.0"}
    assert facts["log_tail"].endswith("done\n")
    assert centre.record("processor.log").decode().endswith(facts["log_tail"])
    assert yaml.safe_load(facts["payload"]) == yaml.safe_load(centre.record("payload.yaml"))


def test_items_lead_back_to_the_session_each_auxiliary_file_and_the_run(centre):
    centre.process()
    for found in centre.items().values():
        links = [(link["rel"], link["href"]) for link in found["links"]]
        assert [href for rel, href in links if rel == "derived_from"] == ["../../slcs/items/S1C_A.json", "../../aux/items/ORB_NEW.json"]
        assert ("processing-execution", "https://centre.example.org/runs/run-1") in links
        assert found["properties"]["eopf:origin_datetime"] == "2026-05-01T04:30:00+00:00"
        assert found["assets"][found["id"]]["href"].startswith("s3://products/ana/maps/")


def test_the_payload_is_where_the_request_wants_it_only_while_it_runs(centre):
    seen = []

    def look(order):
        seen.append((order.stored_url, centre.stored("work")))
        Simulator(centre.buckets).run(order)

    centre.process(centre.job(s3_payload_file="s3://work/ana/payload.yaml"), centre.shop(Written(look)))
    assert seen == [("s3://work/ana/payload.yaml", ["ana/payload.yaml"])]
    assert centre.stored("work") == []
    assert [verb for verb in centre.buckets.bucket("work").calls if verb in ("create", "write", "delete")] == ["create", "delete"]


def test_a_worker_that_was_taken_for_dead_leaves_the_payload_of_the_next_one(centre):
    job, begun, ended, seen = centre.job(s3_payload_file="s3://work/ana/payload.yaml"), Event(), Event(), []

    def look(order):
        begun.set()
        ended.wait(30)
        seen.extend(centre.stored("work"))
        Simulator(centre.buckets).run(order)

    def overtaken(order):
        threads.append(pool.submit(centre.process, job, centre.shop(Written(look))))
        begun.wait(30)
        raise ProcessorCrashed("too late")

    threads = []
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ProcessorCrashed):
            centre.process(job, centre.shop(Written(overtaken)))
        ended.set()
    assert (seen, threads[0].result()[0], centre.stored("work")) == (["ana/payload.yaml"], State.DONE, [])


def test_a_payload_overwrites_nobody_elses_object(centre):
    centre.buckets.bucket("work").write("ana/payload.yaml", b"mine", content_type="")
    with pytest.raises(Conflict, match=r"s3://work/ana/payload\.yaml"):
        centre.process(centre.job(s3_payload_file="s3://work/ana/payload.yaml"))
    assert centre.buckets.bucket("work").read("ana/payload.yaml", limit_bytes=9)[0] == b"mine"
    assert centre.stored() == []


# --- done before --------------------------------------------------------------------------------------------------------


def test_what_is_published_is_not_made_again(centre):
    first = centre.process()[1]
    before = centre.stored()
    state, facts = centre.process()
    assert (state, centre.stored(), facts["items"]) == (State.CARRIED_OVER, before, first["items"])
    (found,) = find_done(centre.shop(), [centre.job(), centre.job("second.00000000")])
    assert (found.key, found.state, found.facts["items"]) == ("first.0a1b2c3d", State.CARRIED_OVER, first["items"])


def new_session(centre):
    centre.put_item(
        item("S1C_A", "slcs", "s3://archive/slcs/S1C_A.SAFE/manifest.safe", start_datetime="2026-05-01T04:10:00Z") | {"links": []}
    )


def lose_session(centre):
    centre.target.delete("_stac/slcs/items/S1C_A.json")


def other_blocks(centre):
    found = item("S1C_A", "slcs", "s3://archive/slcs/S1C_A.SAFE/manifest.safe")
    found["assets"]["data"]["file:size"] = 7
    centre.put_item(found)


def other_table(centre):
    centre.put_table(task_table() | {"$schema": "other"})


def lose_an_item(centre):
    centre.target.delete(f"_stac/maps/items/{next(iter(centre.items()))}.json")


def lose_a_product(centre):
    centre.products.delete(next(key for key in centre.stored() if key.endswith(".zarr/.zattrs")))


@pytest.mark.parametrize(
    ("change", "is_done"),
    [
        (new_session, True),
        (lose_session, True),
        (other_blocks, False),
        (other_table, False),
        (lose_an_item, False),
        (lose_a_product, False),
    ],
)
def test_a_request_is_done_while_its_inputs_are_the_same_and_its_products_there(centre, change, is_done):
    centre.process()
    change(centre)
    assert [outcome.key for outcome in find_done(centre.shop(), [centre.job()])] == ["first.0a1b2c3d"] * is_done
    if change is not lose_session:
        assert centre.process()[0] is (State.CARRIED_OVER if is_done else State.DONE)


def test_products_that_are_made_anew_take_the_place_of_the_old_ones(centre):
    first = {row["href"] for row in centre.process()[1]["items"]}
    other_blocks(centre)
    facts = centre.process()[1]
    assert not first & {row["href"] for row in facts["items"]}
    assert sorted(centre.items()) == sorted(row["id"] for row in facts["items"])
    assert {key.split("/")[2] for key in centre.stored()} == {row["href"].split("/")[5] for row in facts["items"]}


def test_a_request_that_cannot_be_looked_at_is_not_done(centre):
    centre.process()
    centre.source.delete(TABLE)
    assert find_done(centre.shop(), [centre.job()]) == []


# --- failures -----------------------------------------------------------------------------------------------------------


def failing(centre, error, job=None, shop=None):
    """Fail a request; return what is kept of it."""
    with pytest.raises(error) as raised:
        centre.process(job, shop)
    assert centre.items() == {}
    assert centre.stored() == []
    assert list(centre.disk.rglob("*")) == []
    facts = json.loads(centre.record("facts.json")) if "facts.json" in kept(centre) else {}
    return str(raised.value), facts


def test_an_auxiliary_file_that_is_nowhere_fails_the_request_with_what_was_tried(centre):
    for name in ("ORB_NEW", "ORB_OLD"):
        centre.target.delete(f"_stac/aux/items/{name}.json")
    told, facts = failing(centre, AuxiliaryNotFound)
    assert "'ORB'" in told
    assert [attempt["found"] for attempt in facts["searches"][0]["attempts"]] == [[], []]
    assert "payload" not in facts


def test_an_input_that_is_nowhere_fails_the_request(centre):
    lose_session(centre)
    assert "S1C_A" in failing(centre, MissingInputProduct)[0]


def test_several_things_that_lack_are_told_at_once(centre):
    lose_session(centre)
    for name in ("ORB_NEW", "ORB_OLD"):
        centre.target.delete(f"_stac/aux/items/{name}.json")
    told, _ = failing(centre, MissingInputProduct)
    assert "'ORB'" in told


def test_a_task_table_that_is_not_there_fails_the_request(centre):
    centre.source.delete(TABLE)
    assert TABLE in failing(centre, MissingInput)[0]


def test_inputs_without_an_origin_fail_the_request_before_anything_runs(centre):
    centre.target.write("_stac/slcs/items/S1C_A.json", as_json(item("S1C_A", "slcs", "s3://archive/slcs/S1C_A.SAFE/x")), content_type="")
    failing(centre, NoOrigin, shop=centre.shop(Written(lambda order: pytest.fail("it ran"))))
    assert kept(centre) == ["facts.json"]


def test_a_processor_that_fails_leaves_its_log_and_its_payload_and_nothing_else(centre):
    def fail(order):
        order.log("reading")
        centre.products.write("ana/maps/" + order.outputs[-1].path.rpartition("/")[2] + "/half", b"x", content_type="")
        raise ProcessorFailed("no signal in channel 2")

    _, facts = failing(centre, ProcessorFailed, shop=centre.shop(Written(fail)))
    assert facts["log_tail"].startswith("reading\nprocessor_failed: no signal in channel 2\n")
    assert "Calib.1" in facts["payload"]
    assert (facts["table"]["name"], facts["run_id"], "process" in facts["seconds_by_stage"]) == ("wave", "run-1", False)
    assert kept(centre) == ["facts.json", *NAMES]


def test_what_was_kept_of_a_failure_goes_when_the_request_succeeds(centre):
    failing(centre, ProcessorFailed, shop=centre.shop(faults=Faults(share=1, kinds=(Fault.FAIL,))))
    assert centre.process(shop=centre.shop(faults=Faults(share=1, kinds=(Fault.FAIL,))))[0] is State.DONE
    assert kept(centre) == NAMES


def test_a_product_of_which_a_part_is_missing_is_not_published(centre):
    shop = centre.shop(faults=Faults(share=1, kinds=(Fault.PARTIAL,)))
    failing(centre, (UnreadableProduct, MissingOutput), shop=shop)


def test_an_output_that_is_not_made_is_not_published(centre):
    assert "'geo'" in failing(centre, MissingOutput, shop=centre.shop(Written()))[0]


def test_a_final_product_on_a_disk_fails_the_request_before_anything_runs(centre):
    stores = storage()
    stores["product"]["specific"] = [{"product_name": "geo", "storage": "share"}]
    shop = centre.shop(Written(lambda order: pytest.fail("it ran")), storage=read_storage(as_json(stores), "storage.json"))
    failing(centre, NotPublishable, shop=shop)


def test_a_type_without_a_collection_is_told_before_anything_is_published(centre):
    rows = [{"name": "geo", "product_type": "OTHER", "collection_name": "maps"}]
    failing(
        centre, MissingMapping, job=centre.job(generated_product_to_collection_identifier=rows), shop=centre.shop(of_another_type(centre))
    )


def of_another_type(centre):
    """The simulator, with products of a type that the request does not have."""

    def run(order):
        Simulator(centre.buckets).run(replace(order, outputs=[replace(output, product_type="MAP") for output in order.outputs]))

    return Written(run)


def test_a_product_that_another_request_published_is_not_overwritten(centre):
    centre.process()
    before = centre.items()
    with pytest.raises(Conflict, match=r"first\.0a1b2c3d"):
        centre.process(centre.job("second.00000000"), centre.shop(copying(centre)))
    assert centre.items() == before
    assert len(centre.stored()) == 14


def test_of_two_requests_at_once_whose_products_have_one_name_the_second_publishes_nothing(centre, monkeypatch):
    """Both look before either has published, as two workers do."""
    commit, others = Record.commit, ["second.00000000"]

    def overtaken(record, *given):
        if others:
            centre.process(centre.job(others.pop()), centre.shop(copying(centre)))
        commit(record, *given)

    monkeypatch.setattr(Record, "commit", overtaken)
    with pytest.raises(Conflict, match=r"published by request second\.00000000"):
        centre.process()
    assert {found["properties"]["groundtrack:request"] for found in centre.items().values()} == {"second.00000000"}
    assert {key.split("/")[2] for key in centre.stored()} == {place_of(found) for found in centre.items().values()}
    assert (centre.publication()["state"], centre.publication().get("published")) == ("idle", None)
    assert [outcome.key for outcome in find_done(centre.shop(), [centre.job("second.00000000")])] == ["second.00000000"]


def place_of(item):
    return item["assets"][item["id"]]["href"].split("/")[5]


def copying(centre):
    """A processor whose products are called as those that are published."""

    def run(order):
        (geo,) = [output for output in order.outputs if output.is_final]
        for key in centre.stored():
            path = "/".join(key.split("/")[3:])
            data = centre.products.read(key, limit_bytes=1 << 20)[0]
            centre.products.write(f"{geo.path.removeprefix('s3://products/')}/{path}", data, content_type="")

    return Written(run)


# --- secrets ------------------------------------------------------------------------------------------------------------


def test_the_processor_gets_secrets_and_nothing_else_does(centre):
    seen = []

    def look(order):
        seen.append(json.dumps(order.payload))
        order.log("signed in")
        Simulator(centre.buckets).run(order)

    shop = centre.shop(Written(look))
    facts = centre.process(shop=shop)[1]
    assert all(secret in seen[0] for secret in SECRETS.values())
    shown = every_text(centre) + json.dumps(facts) + repr(shop)
    assert not any(secret in shown for secret in SECRETS.values())
    assert "${CLOUD_SECRET}" in facts["payload"]


@pytest.mark.parametrize("error", [ValueError, ProcessorFailed])
def test_a_secret_in_an_error_of_the_processor_is_told_to_nobody(centre, error):
    def fail(order):
        raise error(order.shown(f"cannot sign in with {SECRETS['CLOUD_SECRET']}") if error is ProcessorFailed else SECRETS["CLOUD_SECRET"])

    told, facts = failing(centre, ProcessorFailed, shop=centre.shop(Written(fail)))
    assert "**********" in told
    assert not any(secret in every_text(centre) + told + json.dumps(facts) for secret in SECRETS.values())


def test_an_error_that_nobody_foresaw_is_told_as_it_is(centre):
    def fail(order):
        raise ZeroDivisionError("nobody foresaw it")

    told, facts = failing(centre, ZeroDivisionError, shop=centre.shop(Written(fail)))
    assert told == "nobody foresaw it"
    assert "ZeroDivisionError: nobody foresaw it" in facts["log_tail"]


def test_a_secret_that_is_not_defined_fails_the_request(centre):
    assert "CLOUD_KEY" in failing(centre, MissingSecret, shop=centre.shop(secrets={}))[0]


def test_a_secret_in_clear_is_never_stored(centre):
    stores = storage()
    stores["storage_configuration"][0]["storage_options"]["secret"] = "canary-in-clear"
    shop = centre.shop(storage=read_storage(as_json(stores), "storage.json"))
    told, facts = failing(centre, SecretInClear, shop=shop)
    assert "canary" not in told + every_text(centre) + json.dumps(facts)


def test_what_travels_to_a_worker_has_references_only(centre):
    shop = centre.shop(Written(None), source=None, target=None, catalogue=None, open_bucket=print, secrets={})
    travelled = pickle.dumps((shop, centre.job()))
    assert b"${CLOUD_SECRET}" in travelled
    assert pickle.loads(travelled)[1] == centre.job()


# --- interruptions ------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The worker is no more."""


class Mortal(MemoryBucket):
    """A bucket that ends its worker at the n-th verb that changes something, before or after it is done."""

    CHANGES = ("write", "create", "replace", "upload", "delete")

    def __init__(self, name, life):
        super().__init__(name)
        self.life = life

    def _spend(self, verb, *args, **kwargs):
        if self.life.is_over:
            raise Killed
        last = self.life.spend()
        if last and not self.life.is_done_first:
            raise Killed
        answer = getattr(MemoryBucket, verb)(self, *args, **kwargs)
        if last:
            raise Killed
        return answer

    def read(self, *args, **kwargs):
        if self.life.is_over:
            raise Killed
        return super().read(*args, **kwargs)


for _verb in Mortal.CHANGES:
    setattr(Mortal, _verb, lambda self, *args, _verb=_verb, **kwargs: self._spend(_verb, *args, **kwargs))


class Life:
    """How many changes a worker makes before it is killed; for ever without a number."""

    def __init__(self):
        self.left, self.is_over, self.is_done_first = None, False, False

    def begin(self, changes, *, is_done_first):
        self.left, self.is_over, self.is_done_first = changes, False, is_done_first

    def spend(self):
        if self.left is None:
            return False
        self.left -= 1
        self.is_over = self.left < 0
        return self.is_over

    def revive(self):
        self.left, self.is_over = None, False


class MortalBuckets:
    def __init__(self, life):
        self.made, self.life = {}, life

    def bucket(self, name):
        return self.made.setdefault(name, Mortal(name, self.life))


def mortal_centre(tmp_path, monkeypatch):
    life = Life()
    monkeypatch.setattr("tests.builders.dpr_centre.MemoryBuckets", lambda: MortalBuckets(life))
    return Centre(tmp_path / "share"), life


def job_of(centre):
    return centre.job(s3_payload_file="s3://work/payload.yaml")


@pytest.mark.parametrize("is_done_first", [False, True])
@pytest.mark.parametrize("again", ["retry", "clean up"])
def test_a_worker_that_is_killed_at_any_moment_leaves_nothing_half_published(tmp_path, monkeypatch, is_done_first, again):
    """Each change of any bucket is the last one of a worker; what follows is a retry, or that the request is given up."""
    changes, died = 0, True
    while died:
        centre, life = mortal_centre(tmp_path / f"{changes}", monkeypatch)
        life.begin(changes, is_done_first=is_done_first)
        try:
            centre.process(job_of(centre))
            died = False
        except Killed:
            died = True
        life.revive()
        follow_up(centre, again)
        changes += 1
    assert changes > 20


def follow_up(centre, again):
    if again == "retry":
        _, facts = centre.process(job_of(centre))
        assert sorted(centre.items()) == sorted(row["id"] for row in facts["items"])
    else:
        clean_up(centre.shop(), [job_of(centre)])
    referenced = {found["assets"][name]["href"].split("/")[5] for name, found in centre.items().items()}
    assert {key.split("/")[2] for key in centre.stored()} == referenced
    assert len(centre.items()) in ((2,) if again == "retry" else (0, 2))
    assert centre.stored("work") == []
    assert list(centre.disk.rglob("*")) == []
    assert [outcome.key for outcome in find_done(centre.shop(), [job_of(centre)])] == ["first.0a1b2c3d"] * bool(centre.items())


def test_a_worker_that_was_taken_for_dead_learns_that_the_other_one_published(centre):
    def overtaken(order):
        centre.process()
        Simulator(centre.buckets).run(order)

    state, facts = centre.process(shop=centre.shop(Written(overtaken)))
    assert (state, sorted(row["id"] for row in facts["items"])) == (State.CARRIED_OVER, sorted(centre.items()))


def test_a_worker_that_was_replaced_by_one_that_is_not_done_stops(centre):
    def overtaken(order):
        with suppress(ProcessorCrashed):
            centre.process(shop=centre.shop(Written(crash)))

    def crash(order):
        raise Killed

    with pytest.raises((Replaced, Killed)):
        centre.process(shop=centre.shop(Written(overtaken)))


def test_attempts_are_counted_over_workers_that_died(centre):
    numbers = []

    def count(order):
        numbers.append(order.attempt)
        raise ProcessorCrashed("it was killed")

    for _ in range(3):
        with pytest.raises(ProcessorCrashed):
            centre.process(shop=centre.shop(Written(count)))
    assert numbers == [1, 2, 3]


def test_an_error_is_not_hidden_by_what_cannot_be_kept_of_it(centre):
    def fail(order):
        centre.target.write = unavailable
        centre.target.upload = unavailable
        centre.target.replace = unavailable
        raise ProcessorFailed("no signal")

    def unavailable(*args, **kwargs):
        raise StoreUnavailable("the store is gone")

    with pytest.raises(ProcessorFailed, match="no signal"):
        centre.process(shop=centre.shop(Written(fail)))


# --- catalogue ----------------------------------------------------------------------------------------------------------


def test_the_catalogue_leads_to_what_was_published(centre):
    outcomes = [Outcome("first.0a1b2c3d", *centre.process()), Outcome("second.00000000", State.FAILED)]
    publish_catalogue(centre.shop(), outcomes)
    publish_catalogue(centre.shop(), outcomes)
    folder = json.loads(centre.target.read("_stac/maps/items/catalog.json", limit_bytes=1 << 20)[0])
    assert [link["href"] for link in folder["links"] if link["rel"] == "item"] == [f"./{name}.json" for name in centre.items()]
    collection = json.loads(centre.target.read("_stac/maps/collection.json", limit_bytes=1 << 20)[0])
    assert validation_error(collection) == ""
    assert collection["extent"]["temporal"]["interval"] == [["2026-05-01T04:10:00.000Z", "2026-05-01T04:22:00.000Z"]]
    assert collection["extent"]["spatial"]["bbox"] == [next(iter(centre.items().values()))["bbox"]]
    auxiliary = json.loads(centre.target.read("_stac/aux/items/catalog.json", limit_bytes=1 << 20)[0])
    assert "./ORB_NEW.json" in [link["href"] for link in auxiliary["links"]]


def test_an_auxiliary_file_that_does_not_name_its_collection_is_of_the_one_that_was_searched(centre):
    key = "_stac/aux/items/ORB_NEW.json"
    found = json.loads(centre.target.read(key, limit_bytes=1 << 20)[0])
    centre.target.write(key, as_json({name: value for name, value in found.items() if name != "collection"}), content_type="")
    _, facts = centre.process()
    assert [row["key"] for row in facts["auxiliary"]] == [key]
    links = [link["href"] for link in next(iter(centre.items().values()))["links"] if link["rel"] == "derived_from"]
    assert links == ["../../slcs/items/S1C_A.json", "../../aux/items/ORB_NEW.json"]
