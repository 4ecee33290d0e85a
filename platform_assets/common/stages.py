"""Where an item is in its flow: names the stage of an error and times every stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """The stages of one attempt at one item.

    Attributes:
        current: The innermost stage that is running, or the one that raised; `start` before the first.
        seconds: Wall time by stage, of those that have ended.
    """

    def __init__(self) -> None:
        self.current = "start"
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Run a block as a stage; when it raises, `current` keeps its name."""
        outer, self.current = self.current, name
        began = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - began, 3)
        self.current = outer
