import pickle

import pytest

from platform_assets.common.errors import ConfigurationError
from platform_assets.dpr.simulator import Fault, Faults, Simulator
from platform_assets.environments.process import Limits
from resources.dask_reading import DaskReading
from resources.object_store import S3Connection
from resources.processor_eopf import EopfProcessor
from resources.processor_ogc import OgcProcessor
from resources.processors import make_processor

STORE = S3Connection("http://127.0.0.1:1", "north", "", "key", "canary-7f3a")


def made(settings, tmp_path):
    return make_processor(settings, STORE, {"TOKEN": "canary-7f3a"}, tmp_path).processors


def test_without_settings_there_is_the_simulator(tmp_path):
    assert made({}, tmp_path) == {"*": Simulator(STORE, Faults(), DaskReading())}


def test_each_kind_is_made_of_its_settings(tmp_path):
    found = made(
        {
            "*": {"kind": "simulator", "faults": {"kinds": ["crash"], "seed": 3}},
            "s1_l0": {"kind": "eopf", "requirements": ["l0==1.4"], "memory_mb": 4000},
            "s3_l0": {"kind": "ogc", "url": "https://dpr.example.org", "authorization": "Bearer ${TOKEN}", "send": "inline"},
        },
        tmp_path,
    )
    assert found["*"].faults == Faults(1.0, (Fault.CRASH,), 3)
    assert isinstance(found["s1_l0"], EopfProcessor)
    assert (found["s1_l0"].folder, found["s1_l0"].limits) == (tmp_path, Limits(None, 4_000_000_000))
    assert isinstance(found["s3_l0"], OgcProcessor)
    assert found["s3_l0"].send == "inline"


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"kind": "eopff"}, "eopff|kind"),
        ({"kind": "ogc"}, "s1_l0.ogc.url"),
        ({"kind": "ogc", "url": "dpr.example.org"}, "s1_l0.ogc.url"),
        ({"kind": "ogc", "url": "https://ana:geheim@dpr.example.org"}, "s1_l0.ogc.url"),
        ({"kind": "eopf", "pins": 1}, "s1_l0.eopf.pins"),
        ({"kind": "ogc", "url": "https://x.org", "authorization": "Bearer geheim"}, "s1_l0.ogc.authorization"),
        ({}, "s1_l0"),
    ],
)
def test_a_setting_that_is_wrong_is_named(tmp_path, row, named):
    with pytest.raises(ConfigurationError, match=named) as raised:
        made({"s1_l0": row}, tmp_path)
    assert "geheim" not in str(raised.value)


def test_processors_travel_to_workers_and_show_no_secret(tmp_path):
    rows = {"*": {"kind": "simulator"}, "a": {"kind": "eopf"}, "b": {"kind": "ogc", "url": "https://dpr.example.org"}}
    processor = make_processor(rows, STORE, {"TOKEN": "canary-7f3a"}, tmp_path)
    assert pickle.loads(pickle.dumps(processor)) == processor
    assert "canary" not in repr(processor)
