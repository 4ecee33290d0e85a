"""Tasks that show what a run does, or do what it is to notice."""

import os
import signal
import sys
import time
from dataclasses import dataclass

import calibration_tables

from platform_assets.workflows.sdk import TaskBase


class Parse(TaskBase):
    """Find out where it runs."""

    def run(self) -> None:
        facts = {
            "tables": calibration_tables.VERSION,
            "recipe_run_id": self.recipe_run_id,
            "variables": dict(os.environ),
            "path": sys.path,
            "modules": [name for name in ("dagster", "resources", "sensors", "click", "pytest", "psutil") if _can_import(name)],
        }
        self.add_metadata(facts)
        self.scratch.write(str(facts["tables"]), "tables.txt", tags=["TABLES"])
        self.scratch.constants["tables"] = facts["tables"]
        self.progress(1, "parsed")


class Flat(TaskBase):
    """Fail once after having written half of its data."""

    retries = 1
    retry_delay_seconds = 0.05

    def run(self) -> None:
        self.scratch.write("flat", "flat.txt", tags=["FLAT"])
        if self.attempt == 1:
            raise RuntimeError("the lamp was off")


class Dark(TaskBase):
    """Take its time."""

    def run(self) -> None:
        time.sleep(0.1)
        self.scratch.write("dark", "dark.txt", tags=["DARK"])


class Combine(TaskBase):
    """Combine what the two before made."""

    @dataclass
    class Parameters:
        """What a run chooses."""

        gain: float = 1.0
        note: str | None = None

    def run(self) -> None:
        names = [path.name for tag in ("FLAT", "DARK", "TABLES") for path in self.scratch.find([tag])]
        self.add_metadata({"names": names, "gain": self.parameters.gain, "note": self.parameters.note})


class Behave(TaskBase):
    """Do what the parameter says."""

    @dataclass
    class Parameters:
        """What a run chooses."""

        how: str

    def run(self) -> None:
        (self.scratch.folder / f"attempt-{self.attempt}").touch()
        getattr(self, f"_{self.parameters.how}")()

    def rollback(self) -> None:
        (self.scratch.folder / f"rollback-{self.attempt}").touch()
        if self.parameters.how == "cannot_roll_back":
            raise OSError("the archive is read-only")
        super().rollback()

    def _fail(self) -> None:
        raise ValueError("the detector is cold")

    _cannot_roll_back = _fail

    def _tell_oddly(self) -> None:
        self.add_metadata({"mean": float("nan"), "range": {"most": [0.5, float("inf")]}})
        raise ValueError("no such frame: \udcff")

    def _swallow(self) -> None:
        os._exit(0)

    def _exit_0(self) -> None:
        sys.exit(0)

    def _exit_99(self) -> None:
        os._exit(99)

    def _exit_later(self) -> None:
        import atexit

        atexit.register(os._exit, 99)

    def _kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _ignore_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        self._start_grandchild()
        time.sleep(600)

    def _leave_grandchild(self) -> None:
        self._start_grandchild()

    def _hungry(self) -> None:
        memory = bytearray(300_000_000)
        memory[::4096] = b"x" * len(memory[::4096])
        time.sleep(600)

    def _start_grandchild(self) -> None:
        import subprocess

        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        part = self.scratch.folder / "grandchild.part"
        part.write_text(str(process.pid))
        part.rename(self.scratch.folder / "grandchild")


class Nothing(TaskBase):
    """Do nothing."""

    def run(self) -> None:
        pass


def _can_import(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True
