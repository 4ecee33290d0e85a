"""Where products are stored: the storage configuration, and the rules by which a bucket is chosen."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platform_assets.dpr import documents
from platform_assets.dpr.errors import MalformedStorage, NoBucket, NoStorage, choice, quoted
from platform_assets.dpr.secrets import Secret, is_reference

_OWN = "s3"
_COLUMNS = ("owner", "collection", "product type", "expiration in days", "bucket")


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """An object store, and how a processor reaches it.

    Attributes:
        name: What the configuration calls it.
        options: `storage_options` of fsspec; credentials are `Secret`s.
    """

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that the processor's workers write to.

    Attributes:
        name: What the configuration calls it.
        path: The folder.
        autoclean: Whether what a run wrote there is deleted at its end.
        opening_mode: What happens to what is there already.
    """

    name: str
    path: str
    autoclean: bool
    opening_mode: str


Store = ObjectStore | Disk


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage configuration.

    Attributes:
        source: What messages call the document.
        stores: By name.
        specific: The store of single products, by name.
        adfs: The store of auxiliary files.
        unit: The store by section, `input_products` or `output_products`, when a single unit is run.
        pipeline: The store by origin, `pipeline_input`, `pipeline_output` or `other`, when a pipeline is run.
    """

    source: str
    stores: Mapping[str, Store]
    specific: Mapping[str, str]
    adfs: str
    unit: Mapping[str, str]
    pipeline: Mapping[str, str]

    def of_adfs(self) -> Store:
        """Return the store of auxiliary files."""
        return self.stores[self.adfs]

    def of_product(self, name: str, section: str, origin: str, *, in_pipeline: bool) -> Store:
        """Return the store of a product.

        Args:
            name: The product's name in the task table.
            section: `input_products` or `output_products`.
            origin: Where it comes from or goes to.
            in_pipeline: Whether a pipeline is run, rather than a single unit.

        Raises:
            NoStorage: None is configured.
        """
        defaults, kind = (self.pipeline, origin) if in_pipeline else (self.unit, section)
        if in_pipeline and origin not in ("pipeline_input", "pipeline_output"):
            kind = "other"
        chosen = self.specific.get(name) or defaults.get(kind)
        if chosen is None:
            where = f"product.default.{'pipeline' if in_pipeline else 'unit'}"
            raise NoStorage(f"{self.source}: no storage for {quoted(name)}: {where} has no {kind}; {choice('it has', defaults)}")
        if chosen not in self.stores:  # of products that are not there, nobody needs to know
            raise NoStorage(f"{self.source}: product.specific, {quoted(name)}: {_unknown(chosen, self.stores)}")
        return self.stores[chosen]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Options(_Model):
    key: Annotated[str, Field(min_length=1)]
    secret: Annotated[str, Field(min_length=1)]
    endpoint_url: Annotated[str, Field(pattern=r"^(\$\{\w+\}|https?://[^@]+)$")] | None = None
    region_name: str | None = None


class _ObjectStore(_Model):
    name: str
    kind: Literal["obs"]
    storage_options: _Options

    def store(self) -> Store:
        options = self.storage_options
        where = {"endpoint_url": _value(options.endpoint_url), "region_name": _value(options.region_name)}
        client = {name: value for name, value in where.items() if value}
        secrets = {"key": Secret.of(options.key), "secret": Secret.of(options.secret)}
        return ObjectStore(self.name, secrets | ({"client_kwargs": client} if client else {}))


class _Disk(_Model):
    name: str
    kind: Literal["shared_disk", "local_disk"]
    absolute_path: Annotated[str, Field(pattern="^/")]
    autoclean: bool = False
    opening_mode: Literal["CREATE", "CREATE_OVERWRITE", "UPDATE"] = "CREATE_OVERWRITE"

    def store(self) -> Store:
        # What is on a worker's own disk is of no use to anyone after the run.
        return Disk(self.name, self.absolute_path.rstrip("/"), self.autoclean or self.kind == "local_disk", self.opening_mode)


class _Named(_Model):
    storage: str


class _Specific(_Named):
    product_name: str


class _OfUnit(_Named):
    section: Literal["input_products", "output_products"]


class _OfPipeline(_Named):
    section: Literal["pipeline_input", "pipeline_output", "other"]


class _Default(_Model):
    adfs: _Named
    unit: tuple[_OfUnit, ...]
    pipeline: tuple[_OfPipeline, ...]


class _Product(_Model):
    default: _Default
    specific: tuple[_Specific, ...] = ()


class _Configuration(_Model):
    schema_: Annotated[str, Field(alias="$schema")] = ""
    product: _Product
    storage_configuration: tuple[Annotated[_ObjectStore | _Disk, Field(discriminator="kind")], ...]


def read_storage(data: bytes, name: str) -> Storage:
    """Return the storage configuration that a JSON or YAML document is.

    Raises:
        MalformedStorage: It is none; the message names every field that is wrong, and no value.
    """
    document = documents.read_document(data, name, MalformedStorage)
    try:
        configuration = _Configuration.model_validate(document)
    except ValidationError as error:
        raise MalformedStorage(documents.problems(name, error, ("product", "storage_configuration"))) from None
    stores: dict[str, Store] = {}
    for index, row in enumerate(configuration.storage_configuration):
        if row.name in stores:
            raise MalformedStorage(f"{name}: storage_configuration[{index}] is the second that is called {quoted(row.name)}")
        stores[row.name] = row.store()
    default = configuration.product.default
    storage = Storage(
        name,
        stores,
        {row.product_name: row.storage for row in configuration.product.specific},
        default.adfs.storage,
        {row.section: row.storage for row in default.unit},
        {row.section: row.storage for row in default.pipeline},
    )
    _refuse_unknown(storage)
    return storage


def default_storage(endpoint_url: str, region: str) -> Storage:
    """Return the storage configuration of a deployment that has none of its own: everything in its object store.

    Args:
        endpoint_url: The S3 server; empty for AWS.
        region: Its region; empty for what the AWS configuration says.
    """
    where = {"endpoint_url": endpoint_url or None, "region_name": region or None}
    store = _Options.model_validate({"key": "${AWS_ACCESS_KEY_ID}", "secret": "${AWS_SECRET_ACCESS_KEY}", **where})
    unit, pipeline = ("input_products", "output_products"), ("pipeline_input", "pipeline_output", "other")
    row = _ObjectStore(name=_OWN, kind="obs", storage_options=store)
    return Storage(
        "the settings of the deployment", {_OWN: row.store()}, {}, _OWN, dict.fromkeys(unit, _OWN), dict.fromkeys(pipeline, _OWN)
    )


def _refuse_unknown(storage: Storage) -> None:
    used = {"product.default.adfs": storage.adfs}
    used |= {f"product.default.unit, section {section}": store for section, store in storage.unit.items()}
    used |= {f"product.default.pipeline, section {section}": store for section, store in storage.pipeline.items()}
    for place, store in used.items():
        if store not in storage.stores:
            raise MalformedStorage(f"{storage.source}: {place}: {_unknown(store, storage.stores)}")


def _unknown(store: str, stores: Mapping[str, Store]) -> str:
    return f"there is no storage {quoted(store)}; {choice('storages', stores)}"


def _value(text: str | None) -> Any:
    return Secret.of(text) if text and is_reference(text) else text


@dataclass(frozen=True, slots=True)
class BucketRule:
    """The bucket of products that match; `*` and `?` are wildcards.

    Attributes:
        owner: Whose products.
        collection: Their collection.
        product_type: Their type.
        expiration_days: How long they are kept.
        bucket: Where they go.
    """

    owner: str
    collection: str
    product_type: str
    expiration_days: str
    bucket: str


def read_bucket_rules(data: bytes, name: str) -> tuple[BucketRule, ...]:
    """Return the bucket rules that a JSON document is: a list of rows of five texts.

    Raises:
        MalformedStorage: It is none.
    """
    try:
        rows = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedStorage(f"{name}: the bucket rules are no JSON") from None
    if not isinstance(rows, list):
        raise MalformedStorage(f"{name}: the bucket rules are no list of rows")
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(_COLUMNS) or not all(isinstance(cell, str) for cell in row):
            raise MalformedStorage(f"{name}: row {index + 1} of the bucket rules is not five texts: {', '.join(_COLUMNS)}")
    return tuple(BucketRule(*row) for row in rows)


def choose_bucket(rules: Sequence[BucketRule], owner: str, collection: str, product_type: str) -> str:
    """Return the bucket of a product: by owner and collection, else by owner alone, else by the general rule.

    Raises:
        NoBucket: No rule is for it.
    """
    matching = [
        rule
        for rule in rules
        if fnmatchcase(owner, rule.owner) and fnmatchcase(collection, rule.collection) and fnmatchcase(product_type, rule.product_type)
    ]
    for wanted in ((owner, collection), (owner, "*"), ("*", "*")):
        for rule in matching:
            # The general rule is for every type; of the others the type may be a pattern.
            if (rule.owner, rule.collection) == wanted and (rule.owner != "*" or rule.product_type == "*"):
                return rule.bucket
    rows = [f"{rule.owner}/{rule.collection}/{rule.product_type}" for rule in rules]
    raise NoBucket(f"no bucket rule for {owner}/{collection}/{product_type}; {choice('rules', rows)}")
