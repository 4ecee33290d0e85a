"""How a station is logged in to: with a header that stays the same, or with a token that is asked for and ends."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from platform_assets.dpr.stations import OAuth2, StationConfig, authorization
from platform_assets.dpr.transfer import StationRefused
from resources.http_files import HttpFiles, Retries

_SPARE_S = 30.0
"""A token is asked for anew this long before it ends."""

_SHORTEST_S = 60.0
"""For how long a token is taken to hold when its server does not say."""


@dataclass(frozen=True)
class Token:
    """Gives the Authorization header with a token that holds; hides what it is asked for with.

    Attributes:
        auth: Where tokens are had.
        form: What they are asked for with, secrets in it.
        retries: How often.
    """

    auth: OAuth2
    form: Mapping[str, str] = field(repr=False, compare=False)
    retries: Retries

    def __call__(self) -> str:
        """Return the header's value.

        Raises:
            StationUnavailable: The server of tokens does not answer.
            StationRefused: It gives none.
        """
        with _lock:
            token, until = _tokens.get(self.auth, ("", 0.0))
            if time.monotonic() >= until:
                token, holds_s = self._asked()
                _tokens[self.auth] = token, time.monotonic() + max(holds_s - _SPARE_S, holds_s / 2)
        return f"Bearer {token}"

    def _asked(self) -> tuple[str, float]:
        answer = HttpFiles(self.auth.token_url, retries=self.retries).post_form(self.auth.token_url, self.form)
        token, holds_s = (answer.get("access_token"), answer.get("expires_in")) if isinstance(answer, dict) else (None, None)
        if not isinstance(token, str) or not token:
            raise StationRefused(f"{self.auth.token_url} gives no token", remedy="Check the station's `token_url` and credentials.")
        return token, float(holds_s) if isinstance(holds_s, int | float) else _SHORTEST_S


def login(station: StationConfig, lookup: Mapping[str, str]) -> str | Token:
    """Return the value of the Authorization header for a station, or what gives it at each request; nothing is asked yet.

    Args:
        station: The station.
        lookup: The secrets.

    Raises:
        MissingSecret: A secret that the station refers to is not among them.
    """
    if not isinstance(station.auth, OAuth2):
        return authorization(station, lookup)
    return Token(station.auth, station.auth.form(lookup), Retries(station.retries.attempts, station.retries.pause_s))


_tokens: dict[OAuth2, tuple[str, float]] = {}
_lock = threading.Lock()
