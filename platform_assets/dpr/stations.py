"""The stations of a deployment: where sessions and auxiliary files come from, and with which credentials.

    {"stations": [{
        "name": "adgs", "source": "auxip", "protocol": "odata", "url": "https://adgs.example/odata/v1",
        "auth": {"kind": "basic", "username": "${ADGS_USER}", "password": "${ADGS_PASSWORD}"}
    }]}

The document has references to secrets and never the secrets; `authorization` resolves them where a station is asked.
"""

import base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from platform_assets.common.errors import ConfigurationError
from platform_assets.dpr import documents
from platform_assets.dpr.model import Source
from platform_assets.dpr.secrets import Secret, is_reference

Text = Annotated[str, Field(min_length=1)]


class MalformedStations(ConfigurationError):
    """The document of stations breaks a rule."""

    code = "malformed_stations"
    remedy = "Correct the document of stations at the place that the message names."


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)


def _reference(text: str | None) -> str | None:
    if text is not None and not is_reference(text):
        raise ValueError("write a reference such as ${STATION_PASSWORD}: the document is stored, secrets are not")
    return text


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no http:// or https:// address")
    if "@" in parts.netloc or parts.query:
        raise ValueError("has credentials or a query in it; give them as `auth`")
    return url.rstrip("/")


class Basic(_Model):
    """HTTP Basic.

    Attributes:
        kind: Tells the kinds apart.
        username: The name, or a reference to it.
        password: A reference to the password.
    """

    kind: Literal["basic"]
    username: Text
    password: Text

    _only_a_reference = field_validator("password")(_reference)


class Bearer(_Model):
    """A token that does not expire while it is used.

    Attributes:
        kind: Tells the kinds apart.
        token: A reference to the token.
    """

    kind: Literal["bearer"]
    token: Text

    _only_a_reference = field_validator("token")(_reference)


class OAuth2(_Model):
    """A token that is asked for, and asked for again when it ends.

    Attributes:
        kind: Tells the kinds apart.
        token_url: Where tokens are had.
        client_id: The client's name, or a reference to it.
        client_secret: A reference to the client's secret; None for a public client.
        username: The user's name, or a reference to it; None to log in as the client.
        password: A reference to the user's password.
        scope: What the token is for; None for what the server thinks.
    """

    kind: Literal["oauth2"]
    token_url: Text
    client_id: Text
    client_secret: Text | None = None
    username: Text | None = None
    password: Text | None = None
    scope: Text | None = None

    _is_an_address = field_validator("token_url")(_address)
    _only_references = field_validator("client_secret", "password")(_reference)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("`username` and `password` are given together, or neither")
        if self.client_secret is None and self.username is None:
            raise ValueError("give `client_secret`, or `username` and `password`")
        return self

    def form(self, lookup: Mapping[str, str]) -> dict[str, str]:
        """Return what a token is asked for with.

        Raises:
            MissingSecret: A secret that is referred to is not among those given.
        """
        given = {name: getattr(self, name) for name in ("client_id", "client_secret", "username", "password", "scope")}
        grant = "client_credentials" if self.username is None else "password"
        return {"grant_type": grant} | {name: _revealed(text, lookup) for name, text in given.items() if text}


class Attempts(_Model):
    """How patiently a station is asked.

    Attributes:
        attempts: How often a request is tried.
        pause_s: The first pause between two; each further one is twice as long.
    """

    attempts: int = Field(default=4, ge=1, le=100)
    pause_s: float = Field(default=60.0, ge=0, le=3600)


class StationConfig(_Model):
    """A station.

    Attributes:
        name: What messages and records call it.
        source: What kind of station it is; searches go to all of the kind, in the order of the document.
        url: The root of its service: the landing page of a STAC API, or of OData.
        protocol: What it speaks.
        auth: How to log in; None for not at all.
        retries: How patiently it is asked.
        file_urls: Other servers that its files lie on and that the credentials are for, such as `https://download.example`.
        collections: The collections of its own that are searched; empty for all. Only of STAC.
        satellites: The satellites whose sessions are taken, such as `S1A`; empty for all. Only of CADIP.
        lookback_s: How far back sessions are looked for. Only of CADIP.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    source: Source
    url: Text
    protocol: Literal["stac", "odata"]
    auth: Annotated[Basic | Bearer | OAuth2, Field(discriminator="kind")] | None = None
    retries: Attempts = Attempts()
    file_urls: tuple[Text, ...] = ()
    collections: tuple[Text, ...] = ()
    satellites: tuple[Text, ...] = ()
    lookback_s: float = Field(default=36_000.0, gt=0)

    _is_an_address = field_validator("url")(_address)

    @field_validator("file_urls")
    @classmethod
    def _are_addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_address, urls))

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.source is Source.CATALOG:
            raise ValueError("the source `catalog` is the platform's own catalogue and no station")
        if self.source is Source.CADIP and self.protocol != "odata":
            raise ValueError("CADIP stations speak odata")
        return self


class _Document(_Model):
    stations: tuple[StationConfig, ...]

    @model_validator(mode="after")
    def _have_names_of_their_own(self) -> Self:
        names = [station.name for station in self.stations]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two stations are called {twice[0]}")
        return self


def read_stations(data: bytes, name: str) -> tuple[StationConfig, ...]:
    """Return the stations that a JSON or YAML document lists.

    Args:
        data: The document.
        name: What messages call it.

    Raises:
        MalformedStations: It breaks a rule, or has a secret in clear; the message names every field that is wrong.
    """
    document: dict[str, Any] = documents.read_document(data, name, MalformedStations)
    try:
        return _Document.model_validate(document).stations
    except ValidationError as error:
        raise MalformedStations(documents.problems(name, error, _Document.model_fields)) from None


def authorization(station: StationConfig, lookup: Mapping[str, str]) -> str:
    """Return the value of the Authorization header for a station; empty when it asks for none, or for a token that is asked for.

    Args:
        station: The station.
        lookup: The secrets.

    Raises:
        MissingSecret: A secret that the station refers to is not among them.
    """
    match station.auth:
        case Basic(username=username, password=password):
            pair = f"{_revealed(username, lookup)}:{_revealed(password, lookup)}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
        case Bearer(token=token):
            return f"Bearer {_revealed(token, lookup)}"
        case _:
            return ""


def _revealed(text: str, lookup: Mapping[str, str]) -> str:
    return Secret.of(text).reveal(lookup)
