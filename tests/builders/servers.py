"""Real servers for tests, on loopback, in folders of their own, stopped by process group."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from resources.object_store import S3Connection

ACCESS_KEY, SECRET_KEY = "groundtracktest", "groundtracktest-secret"


@dataclass
class S3Server:
    """A running S3 server.

    Attributes:
        name: Which one.
        connection: How to reach it.
        kill: Kills it at once, as a power cut would.
        start: Starts it again on the same address and data.
    """

    name: str
    connection: S3Connection
    kill: Callable[[], None]
    start: Callable[[], None]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout_s:.0f} s")
        time.sleep(0.05)


def answers_http(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def ministack(folder: Path) -> Iterator[S3Server]:
    """The embedded S3 server, as `groundtrack up` starts it."""
    port = free_port()
    environment = os.environ | {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    command = [sys.executable, "-m", "platform_assets.cli.s3_server", "--port", str(port), "--data", str(folder / "s3")]
    url = f"http://127.0.0.1:{port}"
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        with (folder / "s3.log").open("ab") as log:
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
        wait_for(lambda: answers_http(f"{url}/_ministack/health"), "start of the embedded S3 server")

    start()
    try:
        yield S3Server("embedded", S3Connection(url, "us-east-1", "", ACCESS_KEY, SECRET_KEY), lambda: kill_group(running[-1]), start)
    finally:
        kill_group(running[-1])


@contextmanager
def radosgw(folder: Path) -> Iterator[S3Server]:
    """Ceph's S3 gateway on a cluster of one monitor, one manager and one OSD."""
    ceph = Ceph(folder)
    ceph.make()
    ceph.start()
    ceph.make_user()
    try:
        yield S3Server(
            "radosgw", S3Connection(f"http://127.0.0.1:{ceph.port}", "default", "", ACCESS_KEY, SECRET_KEY), ceph.kill, ceph.start
        )
    finally:
        ceph.kill()


class Ceph:
    """The smallest Ceph cluster that serves S3; everything on loopback, as the user who runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.running: list[subprocess.Popen[bytes]] = []

    def make(self) -> None:
        for name in ("mon", "osd", "mgr", "rgw", "run", "log"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "ceph.conf").write_text(self._configuration())
        keyring = str(self.folder / "keyring")
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        self._run("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", *everything)
        self._run(
            "ceph-authtool",
            keyring,
            "--gen-key",
            "-n",
            "client.rgw",
            "--cap",
            "mon",
            "allow rw",
            "--cap",
            "osd",
            "allow rwx",
            "--cap",
            "mgr",
            "allow rw",
        )
        self._run("ceph-authtool", keyring, "--gen-key", "-n", "mgr.x", "--cap", "mon", "allow profile mgr", "--cap", "osd", "allow *")
        monmap = str(self.folder / "monmap")
        self._run("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{self.mon_port}]", "--fsid", self.fsid, monmap)
        self._run("ceph-mon", *self._conf, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        monitor = self._spawn("ceph-mon", "-i", "a")
        self._run("ceph", *self._conf, "auth", "import", "-i", keyring)
        secret = self._run("ceph-authtool", "--gen-print-key").strip()
        secrets = self.folder / "osd.json"
        secrets.write_text(f'{{"cephx_secret": "{secret}"}}')
        self._run("ceph", *self._conf, "osd", "new", self.osd_uuid, "-i", str(secrets))
        osd_keyring = str(self.folder / "osd" / "keyring")
        self._run("ceph-authtool", osd_keyring, "--create-keyring", "--name", "osd.0", "--add-key", secret)
        self._run("ceph-osd", *self._conf, "-i", "0", "--mkfs", "--osd-uuid", self.osd_uuid, "--keyring", osd_keyring)
        kill_group(monitor)

    def start(self) -> None:
        self.running = [
            self._spawn("ceph-mon", "-i", "a"),
            self._spawn("ceph-osd", "-i", "0", "--keyring", str(self.folder / "osd" / "keyring")),
            self._spawn("ceph-mgr", "-i", "x"),
            self._spawn("radosgw", "-n", "client.rgw"),
        ]
        wait_for(lambda: answers_http(f"http://127.0.0.1:{self.port}"), "start of radosgw", 120)

    def make_user(self) -> None:
        keys = (f"--access-key={ACCESS_KEY}", f"--secret-key={SECRET_KEY}")
        self._run("radosgw-admin", *self._conf, "-n", "client.rgw", "user", "create", "--uid=test", "--display-name=test", *keys)

    def kill(self) -> None:
        for process in reversed(self.running):
            kill_group(process)

    @property
    def _conf(self) -> tuple[str, str]:
        return "-c", str(self.folder / "ceph.conf")

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def _spawn(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        user = ("--setuser", "root", "--setgroup", "root") if os.geteuid() == 0 else ()
        with (self.folder / "log" / f"{program}.out").open("ab") as log:
            return subprocess.Popen(
                [program, *self._conf, *arguments, "-f", *user], stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )

    def _configuration(self) -> str:
        self.mon_port, self.fsid, self.osd_uuid = free_port(), _uuid(), _uuid()
        first = free_port()
        return f"""
[global]
fsid = {self.fsid}
mon host = [v2:127.0.0.1:{self.mon_port}]
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {self.folder}/keyring
log file = {self.folder}/log/$name.log
run dir = {self.folder}/run
admin socket =
pid file = {self.folder}/run/$name.pid
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
auth allow insecure global id reclaim = false
mon max pg per osd = 1000
osd memory target = 939524096
ms bind ipv6 = false
ms bind msgr1 = false
[mon]
mon data = {self.folder}/mon
[mgr]
mgr data = {self.folder}/mgr
mgr modules =
[osd]
osd data = {self.folder}/osd
osd class dir = {_class_folder()}
bluestore block size = 68719476736
bluestore block create = true
osd objectstore = bluestore
bluestore cache size = 134217728
ms bind port min = {first}
ms bind port max = {first + 30}
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{self.port} tcp_nodelay=1
rgw data = {self.folder}/rgw
rgw thread pool size = 32
rgw dynamic resharding = false
rgw enable usage log = false
rgw gc max objs = 8
rgw lc max objs = 4
rgw usage max shards = 1
rgw data log num shards = 1
rgw md log max shards = 1
rgw dns name = localhost
"""


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def has_radosgw() -> bool:
    return all(shutil.which(program) for program in ("radosgw", "ceph-mon", "ceph-osd", "ceph-mgr", "ceph-authtool"))


def _class_folder() -> str:
    found = sorted(Path("/usr/lib").glob("*/rados-classes"))
    return str(found[0]) if found else "/usr/lib/rados-classes"


def _uuid() -> str:
    return Path("/proc/sys/kernel/random/uuid").read_text().strip()
