"""A real PostgreSQL server for tests, on loopback, in a folder of its own."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.builders.servers import free_port, kill_group, wait_for

_USER = "groundtrack"


@dataclass(frozen=True)
class PostgresServer:
    """A running server; its user may create databases."""

    programs: Path
    port: int
    password: str

    def new_database(self) -> str:
        """Create a database and return its URL, with the password in it."""
        name = f"d{secrets.token_hex(6)}"
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-U", _USER)
        subprocess.run([self.programs / "createdb", *address, name], env=os.environ | {"PGPASSWORD": self.password}, check=True, timeout=60)
        return f"postgresql+psycopg2://{_USER}:{self.password}@127.0.0.1:{self.port}/{name}"


def postgres_programs() -> Path | None:
    """Where Debian keeps the server's programs, or where the PATH says."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Start a server; as root it runs as the user `postgres`, because it refuses to run as root."""
    programs = postgres_programs()
    assert programs, "PostgreSQL is not installed; on Debian: apt-get install postgresql"
    folder = Path(tempfile.mkdtemp(prefix="groundtrack-postgres-"))
    password = secrets.token_urlsafe(16)
    (folder / "password").write_text(password)
    user = {}
    if os.geteuid() == 0:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
        shutil.chown(folder / "password", "postgres", "postgres")
    data = folder / "data"
    making = [programs / "initdb", "-D", data, "-U", _USER, "-A", "scram-sha-256", f"--pwfile={folder}/password", "-E", "UTF8", "--no-sync"]
    subprocess.run(making, check=True, timeout=120, stdout=subprocess.DEVNULL, cwd=folder, **user)
    port = free_port()
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    command = [programs / "postgres", "-D", data, *(part for name, value in options.items() for part in ("-c", f"{name}={value}"))]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder, **user)
    try:
        ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, "start of PostgreSQL")
        yield PostgresServer(programs, port, password)
    finally:
        kill_group(process)
        shutil.rmtree(folder)
