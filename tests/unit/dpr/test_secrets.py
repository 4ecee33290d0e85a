import copy
import json
import pickle

import pytest
import yaml

from platform_assets.dpr.errors import MissingSecret, SecretInClear
from platform_assets.dpr.secrets import MASK, Secret, in_clear, masked, revealed, stored

CANARY = "canary-7f3a"


def test_a_secret_in_clear_is_in_no_text_that_is_made_of_it():
    secret = Secret.of(CANARY)
    document = {"storage_options": [{"secret": secret}]}

    texts = [str(secret), repr(secret), f"{secret}", f"{secret!r:>40}", str(document), repr(document), str(masked(document))]
    assert not [text for text in texts if CANARY in text]
    assert str(secret) == MASK


@pytest.mark.parametrize("dump", [json.dumps, yaml.safe_dump, yaml.dump, pickle.dumps], ids=["json", "yaml", "yaml objects", "pickle"])
def test_a_secret_in_clear_cannot_be_serialised(dump):
    with pytest.raises(Exception) as refused:  # noqa: PT011 - each library has its own
        dump({"secret": Secret.of(CANARY)})
    assert CANARY not in str(refused.value)


def test_a_copy_of_a_document_keeps_its_secrets():
    document = {"secret": Secret.of(CANARY)}
    assert revealed(copy.deepcopy(document), {}) == {"secret": CANARY}


def test_a_reference_is_shown_stored_and_sent_as_a_reference():
    secret = Secret.of("${S3_SECRET}")
    assert secret.is_reference
    assert stored({"a": [secret]}) == masked({"a": [secret]}) == {"a": ["${S3_SECRET}"]}
    assert str(pickle.loads(pickle.dumps(secret))) == "${S3_SECRET}"


def test_a_reference_is_resolved_by_name_also_inside_a_text():
    document = {"key": Secret.of("${S3_KEY}"), "path": Secret("https://edh:${EDH_KEY}@host/x")}
    assert revealed(document, {"S3_KEY": "k", "EDH_KEY": CANARY}) == {"key": "k", "path": f"https://edh:{CANARY}@host/x"}


def test_a_reference_to_nothing_fails_by_its_name():
    with pytest.raises(MissingSecret, match="S3_SECRET is not defined"):
        revealed({"secret": Secret.of("${S3_SECRET}")}, {"S3_KEY": CANARY})


def test_a_document_with_a_secret_in_clear_is_not_stored():
    document = {"io": {"adfs": [{"key": Secret.of("${KEY}"), "secret": Secret.of(CANARY)}]}}
    assert in_clear(document) == ("io.adfs[0].secret",)
    with pytest.raises(SecretInClear, match=r"^io\.adfs\[0\]\.secret is a secret in clear$"):
        stored(document)
