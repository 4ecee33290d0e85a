"""An item function whose worker is killed, for real, at one place of its flow; importable by Dask workers."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from platform_assets.common.stages import Stages
from platform_assets.common.values import State
from platform_assets.dpr.pipeline import process_request
from platform_assets.dpr.workshop import RequestJob, Workshop


@dataclass(frozen=True)
class DeadlyShop:
    """A workshop, and where its first worker dies.

    Attributes:
        shop: The workshop.
        place: `before` or `after` and the name of a stage, such as `before publish`; at every other place nothing happens.
    """

    shop: Workshop
    place: str


def process_under_fire(deadly: DeadlyShop, job: RequestJob, stages: Stages) -> tuple[State, dict[str, Any]]:
    """Process a request; the first worker that comes by the place is killed there."""
    return process_request(deadly.shop, job, _Deadly(deadly, job.id))


class _Deadly(Stages):
    def __init__(self, deadly: DeadlyShop, request: str) -> None:
        super().__init__()
        self._deadly = deadly
        self._request = request

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._pass(f"before {name}")
        with super().__call__(name):
            yield
        self._pass(f"after {name}")

    def _pass(self, place: str) -> None:
        mine = f"{os.getpid()}".encode()
        if place == self._deadly.place and self._deadly.shop.target.create(f"_kills/{self._request}", mine, content_type="text/plain"):
            os.kill(os.getpid(), signal.SIGKILL)
