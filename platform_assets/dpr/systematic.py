"""Systematic requests: written by rules, as documents among all others, once a rule and session."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from platform_assets.common.errors import MissingInput, PermanentError
from platform_assets.common.stac import JSON, ROOT_FOLDER
from platform_assets.common.store import Bucket
from platform_assets.common.values import ObjectRef
from platform_assets.dpr import naming
from platform_assets.dpr.documents import LIMIT_BYTES
from platform_assets.dpr.errors import quoted
from platform_assets.dpr.items import Item
from platform_assets.dpr.rules import MalformedRule, Rule, read_rule, request_for

_ENDINGS = (".json", ".yaml", ".yml")
_ITEM_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Systematic:
    """Where rules, sessions and requests lie.

    Attributes:
        source: The input bucket.
        target: The output bucket.
        rule_prefix: Where rules lie.
        request_prefix: Where requests lie.
        prefix: The output prefix.
    """

    source: Bucket
    target: Bucket
    rule_prefix: str
    request_prefix: str
    prefix: str

    def write(self) -> Iterator[str]:
        """Write the requests that are not there; yield what is worth knowing: which were made, which rules are none.

        Raises:
            StoreUnavailable: The store cannot answer; what was written is not written again.
        """
        rules = list(find_rules(self.source, self.rule_prefix))
        if not rules:
            return
        sessions = list(self._sessions())
        folder = f"{self.request_prefix}systematic/"
        there = {ref.key for ref in self.source.list(folder)}
        for rule_ref, rule in rules:
            if isinstance(rule, PermanentError):
                yield f"{rule.code}: {rule}"
                continue
            for session in sessions:
                key = f"{folder}{rule.name}.{session.key.rpartition('/')[2]}"
                if key in there:
                    continue
                try:
                    document = _document(self.source, rule_ref, self.target, session)
                except PermanentError as error:
                    yield f"{error.code}: {error}"
                    continue
                if document and self.source.create(key, document, content_type=JSON):
                    yield f"{rule.name} requests {session.key.rpartition('/')[2].removesuffix('.json')}"

    def _sessions(self) -> Iterator[ObjectRef]:
        folders, _ = self.target.level(f"{self.prefix}{ROOT_FOLDER}/")
        for folder in folders:
            if folder.endswith(f"{naming.SESSIONS}/"):
                collection = folder.rstrip("/").rpartition("/")[2]
                for ref in self.target.list(naming.items_prefix(collection, self.prefix), ending=(".json",)):
                    if naming.item_of(ref.key, self.prefix):
                        yield ref


def find_rules(bucket: Bucket, prefix: str) -> Iterator[tuple[ObjectRef, Rule | PermanentError]]:
    """Yield the rules under a prefix, each with its document, and what is wrong in place of one that is none.

    Raises:
        StoreUnavailable: The store cannot answer.
    """
    by_name: dict[str, str] = {}
    for ref in bucket.list(prefix, ending=_ENDINGS):
        try:
            rule = _rule(bucket, ref)
        except PermanentError as error:
            yield ref, error
            continue
        if (first := by_name.setdefault(rule.name, ref.key)) == ref.key:
            yield ref, rule
        else:
            yield ref, MalformedRule(f"{ref.key}: {first} has the name {quoted(rule.name)} already")


@lru_cache(maxsize=256)
def _rule(bucket: Bucket, ref: ObjectRef) -> Rule:
    return read_rule(bucket.read(ref.key, limit_bytes=LIMIT_BYTES)[0], ref.key)


@lru_cache(maxsize=65_536)
def _document(source: Bucket, rule: ObjectRef, target: Bucket, session: ObjectRef) -> bytes | None:
    """Return what a version of a rule makes of a version of a session; sessions that it is not for are looked at once."""
    try:
        item: Item = json.loads(target.read(session.key, limit_bytes=_ITEM_BYTES)[0])
    except MissingInput:
        return None
    document = request_for(_rule(source, rule), item)
    return json.dumps(document, indent=1).encode() if document else None
