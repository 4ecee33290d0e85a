from pathlib import Path

import pytest

from platform_assets.common.errors import ConfigurationError
from resources.receivers import LogFile, Mail, Webhook, parse_receivers
from resources.settings import load


def test_receivers_are_named_by_urls():
    text = """
        https://hooks.centre.example/T0?x=1
        http://user:p%40ss@hooks.centre.example:8080/
        smtp://mail.centre.example?to=a@b.example,c@d.example&from=me@b.example
        smtps://u%2F:p@mail.centre.example/?to=a@b.example
        file:///var/log/a%20b.jsonl
    """
    first, second, *mails, to_tls, file = parse_receivers(text)
    assert first == Webhook("https://hooks.centre.example/T0?x=1")
    assert second == Webhook("http://hooks.centre.example:8080/", "Basic dXNlcjpwQHNz")
    assert mails == [Mail("mail.centre.example", 25, to, "me@b.example") for to in ("a@b.example", "c@d.example")]
    assert isinstance(to_tls, Mail)
    assert (to_tls.port, to_tls.tls, to_tls.user, to_tls.password) == (465, True, "u/", "p")
    assert file == LogFile(Path("/var/log/a b.jsonl"))
    assert parse_receivers("") == ()


@pytest.mark.parametrize(
    "url",
    [
        "canary",
        "ftp://canary/",
        "https://",
        "https://host/canary/ä",
        "https://host:canary/",
        "smtp://canary",
        "smtp://canary?to=nobody",
        "smtp://canary?to=a@b%0ABcc:c@d",
        "smtp://canary/a@b",
        "smtp://canary?to=a@b&bcc=c@d",
        "file:canary",
        "file://canary/log",
    ],
)
def test_what_is_no_receiver_is_refused_without_being_shown(url):
    with pytest.raises(ConfigurationError, match="number 2 is no receiver") as caught:
        parse_receivers(f"file:///log {url}")
    assert "canary" not in str(caught.value)


def test_a_setting_that_is_no_receiver_is_named(monkeypatch):
    monkeypatch.setenv("GROUNDTRACK_FAILURE_RECEIVERS", "canary")
    with pytest.raises(ConfigurationError, match="GROUNDTRACK_FAILURE_RECEIVERS: number 1 is no receiver") as caught:
        load()
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://hooks.example/canary", "https://canary:canary@hooks.example/", "smtp://u:canary@h.example?to=a@b.example"]
)
def test_secrets_of_receivers_are_not_shown(url):
    [receiver] = parse_receivers(url)
    assert "canary" not in repr(receiver) + receiver.shown + receiver.id


def test_receivers_are_told_apart_by_whom_they_reach():
    first, same, other = parse_receivers(
        "smtp://old.example?to=a@b.example smtps://u:p@new.example?to=a@b.example smtp://old.example?to=c@b.example"
    )
    assert first.id == same.id != other.id
