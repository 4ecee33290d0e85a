"""What the platform starts with: ports, places, key pair and environment."""

import os
import socket
import stat
from pathlib import Path

import pytest

from platform_assets.cli import services
from platform_assets.cli.services import Places, WebUi, base_environment, choose_ports, own_credentials, wants_own_store
from platform_assets.common.errors import ConfigurationError
from resources.settings import Settings


@pytest.fixture
def _no_outer_settings(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("GROUNDTRACK_", "AWS_")):
            monkeypatch.delenv(name)


pytestmark = pytest.mark.usefixtures("_no_outer_settings")


def places(tmp_path: Path) -> Places:
    made = Places(tmp_path)
    made.make()
    return made


def test_a_port_that_is_taken_is_skipped():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert choose_ports(Settings(ui_port=port), {}).ui > port


def test_no_port_is_given_twice_and_that_of_last_time_comes_first():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        last = free.getsockname()[1]
    ports = choose_ports(Settings(ui_port=0), {"s3": last})
    assert ports.s3 == last
    assert len({ports.ui, ports.s3, ports.dask, ports.dashboard}) == 4


def test_a_host_that_is_not_this_machine_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"no-such-host\.invalid"):
        choose_ports(Settings(ui_host="no-such-host.invalid"), {})
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1"):
        choose_ports(Settings(ui_host="192.0.2.1", ui_port=0), {})


def test_the_key_pair_is_made_once_and_only_this_user_can_read_it(tmp_path):
    made = own_credentials(places(tmp_path))
    assert made == own_credentials(Places(tmp_path))
    assert set(made) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert len(made["AWS_ACCESS_KEY_ID"]) >= 32
    assert stat.S_IMODE((tmp_path / "s3-credentials").stat().st_mode) == 0o600
    other = tmp_path / "other"
    other.mkdir()
    assert own_credentials(places(other)) != made


def test_the_key_pairs_file_is_one_that_aws_tools_read(tmp_path, monkeypatch):
    import boto3

    made = own_credentials(places(tmp_path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "s3-credentials"))
    found = boto3.Session().get_credentials()
    assert (found.access_key, found.secret_key) == (made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"])


def test_an_own_store_is_started_only_when_nobody_names_another(monkeypatch):
    assert wants_own_store(Settings())
    assert not wants_own_store(Settings(s3_endpoint_url="http://127.0.0.1:1"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    assert not wants_own_store(Settings())


def test_an_outer_aws_configuration_does_not_leak_into_the_own_stores_processes(tmp_path, monkeypatch):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "GROUNDTRACK_UI_TOKEN"):
        monkeypatch.setenv(name, "outer")
    own = base_environment(Places(tmp_path), {"AWS_ACCESS_KEY_ID": "mine"}, own_store=True)
    assert own["AWS_ACCESS_KEY_ID"] == "mine"
    assert "outer" not in own.values()
    foreign = base_environment(Places(tmp_path), {}, own_store=False)
    assert foreign["AWS_PROFILE"] == "outer"
    assert "GROUNDTRACK_UI_TOKEN" not in foreign


def test_a_long_home_gets_a_short_socket_that_is_the_same_every_time(tmp_path, monkeypatch):
    monkeypatch.setattr(services.tempfile, "gettempdir", lambda: str(tmp_path))
    home = tmp_path / ("x" * 120)
    path = Places(home).code_socket()
    assert path == Places(home).code_socket()
    assert path != Places(tmp_path / ("y" * 120)).code_socket()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.chmod(0o755)
    with pytest.raises(ConfigurationError, match="nobody else can enter"):
        Places(home).code_socket()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("::", "http://[::1]:3000"),
        ("::1", "http://[::1]:3000"),
        ("eo.example", "http://eo.example:3000"),
    ],
)
def test_the_address_of_the_ui_is_one_that_can_be_opened(host, url):
    assert WebUi(host, 3000, "token").url == url
