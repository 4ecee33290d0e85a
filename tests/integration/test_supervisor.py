"""`groundtrack up` as a process: what is killed comes back, what is stopped leaves nothing, and one home has one platform."""

import json
import os
import signal
import stat
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from platform_assets.cli.services import WebUi
from platform_assets.cli.supervisor import running
from resources.object_store import S3Bucket, S3Connection
from tests.builders.platform import COMMAND, LAUNCH, TOKEN, Up, platform, processes_of
from tests.builders.servers import wait_for


@pytest.fixture(scope="module")
def up(small_platform: Up) -> Up:
    return small_platform


def raw_bucket(up: Up) -> S3Bucket:
    environment = up.state.environment
    keys = {"access_key_id": environment["AWS_ACCESS_KEY_ID"], "secret_access_key": environment["AWS_SECRET_ACCESS_KEY"]}
    return S3Connection(environment["GROUNDTRACK_S3_ENDPOINT_URL"], "us-east-1", **keys).bucket("raw")


TITLES = {"s3": "S3 server", "dask": "Dask cluster", "code_server": "code server", "daemon": "Dagster daemon", "web_ui": "web UI"}


def kill(up: Up, service: str) -> None:
    """Kill a service and wait until the platform says that it is back."""
    back = f"The {TITLES[service]} is back."
    before, pid = up.text.count(back), up.pid(service)
    up.kill(service)
    wait_for(lambda: up.text.count(back) > before, f"return of {service}", 90)
    assert up.pid(service) not in (None, pid)


@pytest.mark.parametrize("service", TITLES)
def test_a_service_that_is_killed_comes_back_at_the_same_place(up, service):
    before = dict(up.state.services[service])
    left = [child.pid for child in psutil.Process(before["pid"]).children(recursive=True)]
    kill(up, service)
    after = up.state.services[service]
    assert (after["port"], after["url"]) == (before["port"], before["url"])
    assert f"The {TITLES[service]} was killed by SIGKILL" in up.text
    assert not [pid for pid in left if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_the_s3_server_keeps_its_objects_when_it_is_killed(up):
    raw_bucket(up).write("kept/a b.txt", b"content", content_type="text/plain")
    kill(up, "s3")
    assert raw_bucket(up).read("kept/a b.txt", limit_bytes=100)[0] == b"content"


def test_a_run_whose_code_server_is_killed_fails_within_seconds_and_is_run_again(up):
    (up.home / "go").unlink(missing_ok=True)
    before = len(up.runs())
    up.ask(LAUNCH)
    wait_for(lambda: up.runs()[0] == "STARTED", "start of the run")
    up.kill("code_server")
    wait_for(lambda: "FAILURE" in up.runs()[: len(up.runs()) - before], "failure of the run", 30)
    wait_for(lambda: len(up.runs()) == before + 2 and up.runs()[0] == "STARTED", "start of the retry", 60)
    (up.home / "go").touch()
    wait_for(lambda: up.runs()[0] == "SUCCESS", "success of the retry", 60)


def test_sensors_tick_with_the_address_of_the_dask_cluster(up):
    wait_for((up.home / "ticked").exists, "tick of the sensor")
    assert (up.home / "ticked").read_text() == f"tcp://127.0.0.1:{up.state.services['dask']['port']}"


def test_secrets_are_in_no_file_that_others_can_read_and_in_no_command_line(up):
    key, secret = up.state.environment["AWS_ACCESS_KEY_ID"], up.state.environment["AWS_SECRET_ACCESS_KEY"]
    for path in up.home.rglob("*"):
        private = not stat.S_IMODE(path.stat().st_mode) & 0o077 or (up.home / "run") in path.parents
        if path.is_file() and not private and path.stat().st_size < 1 << 20:
            content = path.read_bytes()
            assert not [found for found in (TOKEN, key, secret) if found.encode() in content], path
    assert stat.S_IMODE((up.home / "run").stat().st_mode) == 0o700
    for process in processes_of(up.home):
        assert not [found for found in (TOKEN, key, secret) if found in " ".join(process.cmdline())]
    runs = [process for process in processes_of(up.home) if process.pid not in (up.pid("web_ui"), up.process.pid)]
    assert not [process for process in runs if TOKEN in process.environ().values()]


def test_the_s3_server_lets_nobody_in_without_its_key(up):
    url = up.state.services["s3"]["url"]
    raw_bucket(up).write("kept/still.txt", b"1", content_type="text/plain")
    for method, path in (
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/"),
        ("GET", "/raw/kept/still.txt"),
        ("PUT", "/raw/x"),
    ):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(url + path, method=method), timeout=10)
    for key in ("test", "000000000000"):
        stranger = S3Connection(url, "us-east-1", access_key_id=key, secret_access_key="any secret").bucket("raw")
        with pytest.raises(Exception, match="AccessDenied"):
            stranger.write("x", b"", content_type="text/plain")
    presigned = raw_bucket(up).connection.client().generate_presigned_url("get_object", Params={"Bucket": "raw", "Key": "kept/still.txt"})
    assert urllib.request.urlopen(presigned, timeout=10).read() == b"1"


def test_everything_listens_on_loopback_only(up):
    listening = {
        connection.laddr.ip
        for process in processes_of(up.home)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_a_second_platform_on_the_same_home_is_refused_and_harms_nothing(up):
    before = up.state.services
    second = Up(up.home)
    assert second.process.wait(60) == 1
    assert f"Groundtrack already runs on {up.home}: process {up.process.pid}, web UI {up.url}" in second.text
    assert "What to do: " in second.text
    assert "Traceback" not in second.text
    assert up.state.services == before
    assert up.ask("{ version }")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_platform_that_is_stopped_ends_with_0_and_leaves_no_process(tmp_path, number):
    home = tmp_path / "home"
    with platform(home) as up:
        up.ask(LAUNCH)
        wait_for(lambda: up.runs() == ["STARTED"], "start of the run")
        assert len(processes_of(home)) >= 6
        assert up.end(number) == 0
        assert processes_of(home) == []
        assert running(home) is None


def test_ctrl_c_while_it_starts_leaves_no_process(tmp_path):
    home = tmp_path / "home"
    up = Up(home)
    wait_for(lambda: len(processes_of(home)) >= 3, "start of the first processes")
    assert up.end() == 130
    assert processes_of(home) == []
    assert "Traceback" not in up.text


def test_after_kill_9_of_the_supervisor_the_next_start_takes_over(tmp_path):
    home = tmp_path / "home"
    with platform(home) as up:
        raw_bucket(up).write("kept", b"1", content_type="text/plain")
        endpoint = up.state.environment["GROUNDTRACK_S3_ENDPOINT_URL"]
        up.ask(LAUNCH)
        wait_for(lambda: up.runs() == ["STARTED"], "start of the run")
        services = {service["pid"] for name, service in up.state.services.items() if name != "code_server"}
        before = {process.pid for process in processes_of(home)}
        os.kill(up.process.pid, signal.SIGKILL)
        up.process.wait()
        # The code server is asked to end as well, but first lets its run end; the next start does not wait for that.
        wait_for(lambda: not {process.pid for process in processes_of(home)} & services, "end of the services", 30)
        assert running(home) is None
    with platform(home) as up:
        assert not before & {process.pid for process in processes_of(home)}
        assert up.state.environment["GROUNDTRACK_S3_ENDPOINT_URL"] == endpoint
        assert raw_bucket(up).read("kept", limit_bytes=10)[0] == b"1"
        wait_for(lambda: up.runs() == ["STARTED", "FAILURE"], "failure and retry of the run that was cut off", 60)
        (home / "go").touch()
        wait_for(lambda: up.runs() == ["SUCCESS", "FAILURE"], "success of the retry", 60)


def test_orphans_of_a_killed_supervisor_are_ended_by_the_next_start(tmp_path):
    home = tmp_path / "home"
    environment = os.environ | {"GROUNDTRACK_SUPERVISED": str(home)}
    orphan = subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True)
    with platform(home) as up:
        assert orphan.wait(10) == -signal.SIGKILL
        assert "Ended 1 processes that an earlier supervisor left behind." in up.text


def test_definitions_that_cannot_be_loaded_end_the_start_with_their_error(tmp_path):
    up = Up(tmp_path / "home", definitions="tests.builders.broken_definitions")
    assert up.process.wait(120) == 1
    assert "the code server ended with code 1 while it started" in up.text
    assert "these definitions are broken on purpose" in up.text
    assert f"{tmp_path}/home/logs/code_server.log" in up.text
    assert processes_of(tmp_path / "home") == []


def test_a_home_with_a_long_name_works(tmp_path):
    home = tmp_path / ("long-" * 20) / "home"
    home.parent.mkdir()
    with platform(home) as up:
        assert up.ask("{ version }")


def test_a_folder_named_resources_in_the_working_directory_is_not_taken_for_ours(tmp_path):
    for name in ("resources", "sensors", "platform_assets"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')")
    with platform(tmp_path / "home") as up:
        assert up.ask("{ version }")


def test_a_server_of_the_users_own_is_used_and_none_is_started(tmp_path, monkeypatch, embedded_server):
    url = embedded_server.connection.endpoint_url
    (tmp_path / ".env").write_text(f"GROUNDTRACK_S3_ENDPOINT_URL={url}\n")
    with platform(tmp_path / "home") as up:
        assert "s3" not in up.state.services
        assert up.state.environment["GROUNDTRACK_S3_ENDPOINT_URL"] == url
        assert "AWS_SECRET_ACCESS_KEY" not in up.state.environment
        daemon = psutil.Process(up.pid("daemon"))
        assert daemon.environ()["GROUNDTRACK_S3_ENDPOINT_URL"] == url


def test_a_viewer_s_platform_changes_nothing(tmp_path):
    with platform(tmp_path / "home", "--read-only") as up:
        assert up.ask(LAUNCH)["launchRun"]["__typename"] == "UnauthorizedError"
        assert up.runs() == []


def test_the_dagster_history_is_kept_on_postgresql_without_its_password_in_a_file(tmp_path, postgres_server):
    url = postgres_server.new_database().replace("+psycopg2", "")
    (tmp_path / ".env").write_text(f"GROUNDTRACK_POSTGRES_URL={url}\n")
    home = tmp_path / "home"
    with platform(home) as up:
        (home / "go").touch()
        up.ask(LAUNCH)
        wait_for(lambda: up.runs() == ["SUCCESS"], "success of the run")
    for path in home.rglob("*"):
        assert not path.is_file() or postgres_server.password.encode() not in path.read_bytes(), path
    with platform(home) as up:
        assert up.runs() == ["SUCCESS"]


def test_the_command_line_answers_without_importing_anything_heavy():
    code = "import sys, platform_assets.cli.main; print([n for n in ('dagster', 'boto3', 'pydantic', 'rich', 'numpy') if n in sys.modules])"
    done = subprocess.run([Path(COMMAND).parent / "python", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_a_wrong_setting_is_shown_as_message_and_remedy(tmp_path):
    environment = os.environ | {"GROUNDTRACK_DASK_KIND": "cloud"}
    done = subprocess.run(
        [COMMAND, "up", "--home", str(tmp_path)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "GROUNDTRACK_DASK_KIND" in done.stderr
    assert "What to do:" in done.stderr
    assert "Traceback" not in done.stderr
    assert (
        "Traceback"
        in subprocess.run([COMMAND, "--debug", "up"], env=environment, capture_output=True, text=True, check=False, timeout=60).stderr
    )


def test_a_ui_that_does_not_answer_is_not_ready_instead_of_an_error():
    ui = WebUi("127.0.0.1", 1, "token")
    assert not ui.answers()
    assert not ui.daemon_beats(0.0)
