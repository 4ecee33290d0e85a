import base64
import pickle
from pathlib import Path

import pytest

from platform_assets.dpr import stations
from platform_assets.dpr.errors import MissingSecret
from platform_assets.dpr.model import Source
from platform_assets.dpr.stations import MalformedStations, authorization, read_stations
from tests.builders.dpr import as_json


def station(**changes):
    document = {"name": "adgs", "source": "auxip", "protocol": "odata", "url": "https://adgs.example/odata/v1/"}
    return {key: value for key, value in (document | changes).items() if value is not None}


def read(*stations):
    return read_stations(as_json({"stations": list(stations)}), "stations.json")


def problem(*stations):
    with pytest.raises(MalformedStations) as malformed:
        read(*stations)
    return str(malformed.value)


def test_a_station_is_asked_four_times_with_a_minute_in_between_unless_told_otherwise():
    (adgs,) = read(station())
    assert (adgs.source, adgs.url, adgs.auth) == (Source.AUXIP, "https://adgs.example/odata/v1", None)
    assert (adgs.retries.attempts, adgs.retries.pause_s) == (4, 60.0)


def test_several_stations_are_kept_in_their_order():
    assert [row.name for row in read(station(name="second"), station(name="first"))] == ["second", "first"]


def test_credentials_are_references_until_a_station_is_asked():
    basic = {"kind": "basic", "username": "ana", "password": "${ADGS_PASSWORD}"}
    (adgs,) = pickle.loads(pickle.dumps(read(station(auth=basic))))
    assert "s3cret" not in repr(adgs)
    header = authorization(adgs, {"ADGS_PASSWORD": "s3cret"})
    assert base64.b64decode(header.removeprefix("Basic ")) == b"ana:s3cret"
    (token,) = read(station(auth={"kind": "bearer", "token": "${TOKEN}"}))
    assert authorization(token, {"TOKEN": "abc"}) == "Bearer abc"
    assert authorization(read(station())[0], {}) == ""
    with pytest.raises(MissingSecret, match="TOKEN is not defined"):
        authorization(token, {})


OAUTH2 = {"kind": "oauth2", "token_url": "https://login.example/token", "client_id": "gt", "client_secret": "${CLIENT_SECRET}"}


def test_a_token_is_asked_for_as_client_or_as_user():
    (adgs,) = read(station(auth=OAUTH2 | {"scope": "openid"}))
    asked = {"grant_type": "client_credentials", "client_id": "gt", "client_secret": "s3cret", "scope": "openid"}
    assert adgs.auth.form({"CLIENT_SECRET": "s3cret"}) == asked
    user = {"username": "ana", "password": "${PASSWORD}", "client_secret": None}
    (adgs,) = read(station(auth=OAUTH2 | user))
    assert adgs.auth.form({"PASSWORD": "s3cret"}) == {"grant_type": "password", "client_id": "gt", "username": "ana", "password": "s3cret"}
    assert "s3cret" not in repr(adgs)
    with pytest.raises(MissingSecret):
        adgs.auth.form({})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client_secret": "s3cret"}, "write a reference"),
        ({"client_secret": None}, "give `client_secret`, or `username` and `password`"),
        ({"username": "ana"}, "are given together"),
        ({"token_url": "login.example"}, "is no http:// or https:// address"),
    ],
)
def test_a_login_that_cannot_work_is_refused(changes, said):
    found = problem(station(auth=OAUTH2 | changes))
    assert said in found
    assert "s3cret" not in found


@pytest.mark.parametrize("auth", [{"kind": "basic", "username": "ana", "password": "s3cret"}, {"kind": "bearer", "token": "s3cret"}])
def test_a_secret_in_clear_is_refused_and_not_quoted(auth):
    said = problem(station(auth=auth))
    assert "write a reference such as ${STATION_PASSWORD}" in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": "ftp://adgs.example"}, "stations[0].url: is no http:// or https:// address"),
        ({"url": "https://ana:s3cret@adgs.example"}, "stations[0].url: has credentials or a query in it"),
        ({"url": "https://adgs.example?key=s3cret"}, "stations[0].url: has credentials or a query in it"),
        ({"file_urls": ["download"]}, "stations[0].file_urls: is no http:// or https:// address"),
        ({"source": "catalog"}, "stations[0]: the source `catalog` is the platform's own catalogue"),
        ({"source": "cadip", "protocol": "stac"}, "stations[0]: CADIP stations speak odata"),
        ({"source": "lta"}, "stations[0].source: "),
        ({"name": "a b"}, "stations[0].name: "),
        ({"name": None}, "stations[0].name: is missing"),
        ({"password": "s3cret"}, "stations[0].password: is unknown"),
        ({"auth": {"kind": "kerberos"}}, "stations[0].auth: "),
        ({"retries": {"attempts": 0}}, "stations[0].retries.attempts: "),
    ],
)
def test_a_station_that_breaks_a_rule_is_refused_with_its_place(changes, said):
    found = problem(station(**changes))
    assert said in found
    assert "s3cret" not in found


def test_two_stations_have_two_names():
    assert "two stations are called adgs" in problem(station(), station())


def test_the_example_of_the_documentation_is_read():
    text = Path(stations.__file__).with_name("README.md").read_text()
    example = text.partition('```json\n{"stations"')[2].partition("```")[0]
    assert [station.name for station in read_stations(b'{"stations"' + example.encode(), "README.md")] == ["adgs", "cdse"]
