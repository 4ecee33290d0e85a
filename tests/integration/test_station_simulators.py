"""The simulated stations, asked by the platform's own clients and by hand."""

import json
from pathlib import Path

import requests

from platform_assets.dpr import odata, sample
from platform_assets.dpr.cql2 import Search
from platform_assets.dpr.stations import read_stations
from platform_assets.dpr.transfer import Checksum, Expected
from resources.cadip import CadipStation
from resources.http_files import HttpFiles, Retries
from resources.stac_api import StacApi
from resources.station_faults import Fault, FaultSchedule
from resources.station_simulator import serving
from resources.station_simulator_auxip import AuxipSimulator
from resources.station_simulator_cadip import CadipSimulator
from tests.builders.commands import run
from tests.builders.servers import answers_http, free_port

ADFS = sample.make_adfs()
SESSIONS = [sample.make_session(orbit=number, block_bytes=2048) for number in range(5)]
ORBSCT = {"op": "=", "args": [{"property": "product:type"}, "MPL_ORBSCT"]}
QUICK = Retries(attempts=3, pause_s=0.01)


def test_the_stac_api_of_auxip_finds_with_cql2_and_its_assets_are_what_they_announce(tmp_path: Path) -> None:
    with serving(AuxipSimulator(ADFS)) as url:
        found = StacApi(f"{url}/stac").search(
            sample.AUX_COLLECTION, Search(ORBSCT, ({"field": "created", "direction": "desc"},), 1), "test"
        )
        [item] = found
        [asset] = item["assets"].values()
        expected = Expected(asset["file:size"], Checksum.of_multihash(asset["file:checksum"]))
        HttpFiles(url, retries=QUICK).download(asset["href"], tmp_path / "adf", expected)
    assert item["id"] == ADFS[1].name  # the newer of the two
    assert (tmp_path / "adf").read_bytes() == ADFS[1].content


def test_the_odata_of_auxip_finds_the_same(tmp_path: Path) -> None:
    is_type = (
        "Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'productType' and att/OData.CSC.StringAttribute/Value eq 'MPL_ORBSCT')"
    )
    query = odata.options(filter_text=is_type, orderby="PublicationDate desc", top=1, expand="Attributes")
    station = AuxipSimulator(ADFS)
    with serving(station) as url:
        http = HttpFiles(url, retries=QUICK)
        [row] = odata.rows(http.get_json(f"{url}/odata/v1/Products", query), "auxip")
        http.download(f"{url}/odata/v1/Products({row['Id']})/$value", tmp_path / "adf", Expected(row["ContentLength"], odata.checksum(row)))
    assert row["Name"] == ADFS[1].name
    assert row["ContentDate"] == {"Start": "2026-04-30T00:00:00.000Z", "End": "2026-05-03T00:00:00.000Z"}
    assert {entry["Name"] for entry in row["Attributes"]} == {"productType", "platformShortName", "platformSerialIdentifier"}
    assert station.fetched == [ADFS[1].name]


def test_a_late_auxiliary_file_is_found_by_neither_way_at_the_first_looks() -> None:
    schedule = FaultSchedule(rate=1.0, kinds=(Fault.LATE,), late_looks=1)
    with serving(AuxipSimulator(ADFS, schedule)) as url:
        api = StacApi(f"{url}/stac")
        assert not api.search(sample.AUX_COLLECTION, Search(ORBSCT), "test")
        assert api.search(sample.AUX_COLLECTION, Search(ORBSCT), "test")


def test_a_client_of_cadip_sees_every_session_once_over_pages_and_with_its_files() -> None:
    with serving(CadipSimulator(SESSIONS, page_rows=2)) as url:
        document = {"stations": [{"name": "ins", "source": "cadip", "protocol": "odata", "url": f"{url}/odata/v1"}]}
        [config] = read_stations(json.dumps(document).encode(), "stations.json")
        station = CadipStation(config, {})
        rows = list(station.sessions(sample.START))
        assert [row["SessionId"] for row in rows] == [session.id for session in SESSIONS]
        assert all(len(row["Files"]) == 6 for row in rows)
        assert [row["SessionId"] for row in station.named([SESSIONS[3].id, SESSIONS[1].id])] == [SESSIONS[1].id, SESSIONS[3].id]
        assert station.session("S1A_20260501041000999999") == []


def test_files_of_stations_that_do_not_expand_are_asked_for_by_session() -> None:
    class Unexpanding(CadipSimulator):
        def answer(self, question):
            query = {name: value for name, value in question.query.items() if name != "$expand"}
            return super().answer(type(question)(question.method, question.path, query, question.body, question.base))

    with serving(Unexpanding(SESSIONS[:1], page_rows=4)) as url:
        document = {"stations": [{"name": "ins", "source": "cadip", "protocol": "odata", "url": f"{url}/odata/v1"}]}
        [config] = read_stations(json.dumps(document).encode(), "stations.json")
        [row] = CadipStation(config, {}).session(SESSIONS[0].id)
    assert len(row["Files"]) == 6


def test_a_station_counts_and_pages_as_odata_says() -> None:
    with serving(CadipSimulator(SESSIONS, page_rows=2)) as url:
        query = {"$top": "3", "$count": "true", "$orderby": "SessionId desc"}
        first = requests.get(f"{url}/odata/v1/Sessions", query, timeout=10).json()
        second = requests.get(first["@odata.nextLink"], timeout=10).json()
        missing = requests.get(f"{url}/odata/v1/Nonsense", timeout=10)
    assert (first["@odata.count"], len(first["value"]), len(second["value"])) == (5, 2, 1)
    assert "Files" not in first["value"][0]
    assert "@odata.nextLink" not in second
    assert missing.status_code == 404


def test_a_byte_range_beyond_the_end_is_refused_as_http_says() -> None:
    row = SESSIONS[0].row["Files"][0]
    with serving(CadipSimulator(SESSIONS)) as url:
        value = f"{url}/odata/v1/Files({row['Id']})/$value"
        part = requests.get(value, headers={"Range": "bytes=2000-"}, timeout=10)
        beyond = requests.get(value, headers={"Range": "bytes=2048-"}, timeout=10)
        other = requests.get(value, headers={"Range": "bytes=2000-", "If-Range": '"another"'}, timeout=10)
    assert (part.status_code, part.headers["Content-Range"]) == (206, "bytes 2000-2047/2048")
    assert part.content == SESSIONS[0].blocks[row["Name"]][2000:]
    assert (beyond.status_code, other.status_code, len(other.content)) == (416, 200, 2048)


def test_a_station_on_the_command_line_says_how_it_is_named_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    asked = {"cadip": f"{url}/odata/v1/Sessions?$expand=Files", "auxip": f"{url}/stac"}
    for kind, address in asked.items():
        command = ("groundtrack", "sample", kind, "--port", str(port), "--authorization", "SAMPLE_TOKEN")
        done = run(tmp_path, *command, interrupt_when=lambda address=address: answers_http(address), SAMPLE_TOKEN="Bearer canary")
        entries = [json.loads(line) for line in done.out.splitlines() if line.startswith("  {")]
        assert done.code == 0
        assert read_stations(json.dumps({"stations": entries[:1]}).encode(), "stations.json")[0].url.startswith(url)
        assert "canary" not in done.text
        assert "Faults: none." in done.text
