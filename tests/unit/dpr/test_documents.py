import pytest

from platform_assets.dpr import documents
from platform_assets.dpr.errors import MalformedRequest

CANARY = "canary-7f3a"


def read(data: bytes):
    return documents.read_document(data, "request.yaml", MalformedRequest)


@pytest.mark.parametrize("data", [b'{"a": [1, "x"]}', b"a: [1, x]", b"\xef\xbb\xbfa:\n- 1\n- x\n"], ids=["json", "yaml", "byte order mark"])
def test_json_and_yaml_are_read(data):
    assert read(data) == {"a": [1, "x"]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": 1,\n "b": canary-7f3a}', "line 2, column 7: Expecting value"),
        (b"a: 1\nb: 'canary-7f3a", "line 2, column 16: found unexpected end of stream"),
        (b'{"a": 1, "a": "canary-7f3a"}', "'a' is there twice in one object"),
        (b"a: 1\na: canary-7f3a", "line 2, column 1: 'a' is there twice"),
        (b"a: &x canary-7f3a\nb: *x", "line 2, column 4: aliases are not allowed"),
        (b"- canary-7f3a", "the document is no mapping"),
        (b"", "the document is no mapping"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"a: !!python/object:os.system {}", "line 1, column 4: could not determine a constructor"),
        (b"a: 2026-13-45", "ValueError"),
        (b"{" * 100_000, "line 1, column 2"),
        (b'{"a":' * 100_000, "it is nested too deeply"),
        (b"a: " + b"[" * 5000, "it is nested too deeply"),
        (b"{a: 1}", "line 1, column 2"),
        (b"a\x00: 1", "ReaderError"),
        (b'{"a": [1, NaN]}', "a.1 is no finite number"),
        (b"a: .inf", "a is no finite number"),
        (b"a: {1: canary-7f3a}", "a.'1' is no text, which names must be"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "it is nested more than 60 deep"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused_with_its_place_and_without_its_content(data, said):
    with pytest.raises(MalformedRequest) as refused:
        read(data)
    assert str(refused.value).startswith("request.yaml: ")
    assert said in str(refused.value)
    assert CANARY not in str(refused.value)
    assert refused.value.remedy


def test_a_huge_document_is_not_parsed():
    with pytest.raises(MalformedRequest, match="are more than the 8388608 that are read"):
        read(b" " * (documents.LIMIT_BYTES + 1))
