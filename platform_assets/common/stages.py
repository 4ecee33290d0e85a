"""Where an item is in its flow: names the stage of an error and times every stage."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from platform_assets.common.errors import TransientError


class NoLongerWanted(TransientError):
    """The batch was stopped while a worker was in the middle of an item, which then begins no other stage."""

    code = "no_longer_wanted"
    remedy = "Nothing: whoever stopped the batch reports its items."


class Stages:
    """The stages of one attempt at one item.

    Args:
        is_wanted: Asked before each stage: whether anybody still waits for the item.

    Attributes:
        current: The innermost stage that is running, or the one that raised; `start` before the first.
        seconds: Wall time by stage, of those that have ended.
    """

    def __init__(self, is_wanted: Callable[[], bool] = lambda: True) -> None:
        self._is_wanted = is_wanted
        self.current = "start"
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Run a block as a stage; when it raises, `current` keeps its name.

        Raises:
            NoLongerWanted: Nobody waits for the item any more.
        """
        if not self._is_wanted():
            raise NoLongerWanted(f"the batch was stopped before stage {name}")
        outer, self.current = self.current, name
        began = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - began, 3)
        self.current = outer
