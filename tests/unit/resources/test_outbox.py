import json
import os
import time
from pathlib import Path

import pytest

from resources.outbox import Outbox
from resources.receivers import LogFile

MESSAGE = {"conversationId": "c1", "taskName": "Flat", "errorText": "ä\n"}


class Box:
    """An outbox with two files as receivers; one whose folder is a file takes nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = [folder / name / "failures.jsonl" for name in ("first", "second")]
        self.outbox = Outbox(folder / "outbox", [LogFile(path) for path in self.files])

    def break_down(self, number: int) -> None:
        self.files[number].parent.write_text("")

    def repair(self, number: int) -> None:
        self.files[number].parent.unlink()

    def got(self, number: int) -> list[str]:
        path = self.files[number]
        return [json.loads(line)["conversationId"] for line in path.read_text().splitlines()] if path.exists() else []

    def wait(self, seconds: float) -> None:
        """Let time pass for the messages that wait."""
        for path in (self.folder / "outbox/pending").glob("*.json"):
            entry = json.loads(path.read_text())
            entry |= {"created_s": entry["created_s"] - seconds, "tried_s": entry["tried_s"] and entry["tried_s"] - seconds}
            path.write_text(json.dumps(entry))


@pytest.fixture
def box(tmp_path) -> Box:
    return Box(tmp_path)


def test_a_message_reaches_every_receiver_once(box):
    assert box.outbox.put(MESSAGE)
    assert [entry["message"] for entry in box.outbox.waiting()] == [MESSAGE]
    assert box.outbox.deliver(5) == []
    assert box.outbox.deliver(5) == []
    assert not box.outbox.put(MESSAGE)
    assert box.outbox.deliver(5) == []
    assert [box.got(0), box.got(1)] == [["c1"], ["c1"]]
    assert not list(box.outbox.waiting())


def test_f3_a_receiver_that_is_down_holds_up_no_other_and_gets_the_message_later(box):
    box.break_down(0)
    box.outbox.put(MESSAGE)
    [problem] = box.outbox.deliver(5)
    assert str(box.files[0]) in problem
    assert box.got(1) == ["c1"]
    box.repair(0)
    later = Outbox(box.outbox.folder, box.outbox.receivers)
    assert later.deliver(5) == []
    assert box.got(0) == []
    box.wait(6)
    assert later.deliver(5) == []
    assert [box.got(0), box.got(1)] == [["c1"], ["c1"]]


def test_a_receiver_that_is_down_is_tried_once_and_not_for_every_message(box):
    box.break_down(0)
    for number in range(5):
        box.outbox.put(MESSAGE | {"conversationId": f"c{number}"})
    assert len(box.outbox.deliver(5)) == 1
    assert len(box.got(1)) == 5


def test_a_message_is_tried_again_when_its_age_has_doubled(box):
    box.break_down(0)
    box.outbox.put(MESSAGE)
    assert box.outbox.deliver(5)
    box.wait(60)
    assert box.outbox.deliver(5)
    box.wait(30)
    assert not box.outbox.deliver(5)
    box.wait(31)
    assert box.outbox.deliver(5)


def test_a_message_that_waits_goes_to_the_receivers_of_now(box):
    box.break_down(0)
    box.outbox.put(MESSAGE)
    box.outbox.deliver(5)
    box.wait(6)
    without = Outbox(box.outbox.folder, box.outbox.receivers[1:])
    assert without.deliver(5) == []
    assert not list(without.waiting())
    assert box.got(1) == ["c1"]


def test_without_receivers_messages_are_only_kept(tmp_path):
    outbox = Outbox(tmp_path, ())
    outbox.put(MESSAGE)
    assert outbox.deliver(5) == []
    assert (tmp_path / "sent/c1.json").exists()


def test_a_message_that_was_half_written_when_the_power_failed_is_none(box):
    box.outbox.put(MESSAGE)
    (box.folder / "outbox/pending/.c2.json.new").write_text("{")
    assert box.outbox.deliver(5) == []
    assert box.got(0) == ["c1"]


def test_what_was_sent_long_ago_is_forgotten(box):
    box.outbox.put(MESSAGE)
    box.outbox.deliver(5)
    path = box.folder / "outbox/sent/c1.json"
    old = time.time() - 91 * 86_400
    os.utime(path, (old, old))
    box.outbox.deliver(5)
    assert not path.exists()
