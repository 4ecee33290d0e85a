"""A CADIP station: sessions and their blocks over OData."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from platform_assets.dpr import odata
from platform_assets.dpr.odata import Row
from platform_assets.dpr.session import Block
from platform_assets.dpr.stations import StationConfig
from platform_assets.dpr.transfer import Received, StationRefused
from resources.http_files import HttpFiles, Retries
from resources.station_login import login

_MOST_PAGES = 1000
_FILES = "Files"
_AT_ONCE = 20
"""Sessions asked for in one query: addresses longer than about 2,000 characters are refused by some servers."""


_IMPATIENT = Retries(attempts=2, pause_s=1.0, longest_s=5.0)
_IMPATIENT_READ_S = 20.0


@dataclass(frozen=True)
class CadipStation:
    """A client of one station; travels to Dask workers without any secret.

    Attributes:
        config: What the document of stations says of it.
        secrets: What references stand for; looked up when the station is asked.
        patient: Whether it is tried as often as the document says; sensors ask again anyway.
    """

    config: StationConfig
    secrets: Mapping[str, str] = field(repr=False)
    patient: bool = True

    @property
    def files(self) -> HttpFiles:
        """The way to it, with credentials."""
        authorization = login(self.config, self.secrets)
        if not self.patient:
            return HttpFiles(self.config.url, authorization, _IMPATIENT, read_s=_IMPATIENT_READ_S)
        return HttpFiles(self.config.url, authorization, Retries(self.config.retries.attempts, self.config.retries.pause_s))

    def sessions(self, since: datetime, *, until: float | None = None) -> Iterator[Row]:
        """Yield the sessions that were published since then, with their files, in no order.

        Args:
            since: The earliest publication.
            until: When to give up, on the monotonic clock.

        Raises:
            StationUnavailable, StationTimeout, StationRefused: The station does not answer, or not as OData does.
        """
        wanted = self.config.satellites
        satellites = odata.is_any("Satellite", wanted) if wanted else ""
        yield from self._with_files(odata.both(f"PublicationDate ge {odata.literal(since)}", satellites), until)

    def named(self, session_ids: Sequence[str], *, until: float | None = None) -> Iterator[Row]:
        """Yield the sessions with these ids, with their files; errors are those of `sessions`."""
        for start in range(0, len(session_ids), _AT_ONCE):
            yield from self._with_files(odata.is_any("SessionId", session_ids[start : start + _AT_ONCE]), until)

    def session(self, session_id: str) -> Sequence[Row]:
        """Return the entities of a session, with their files; none when it is unknown."""
        return list(self._with_files(f"SessionId eq {odata.literal(session_id)}", None))

    def fetch(self, block: Block, path: Path) -> Received:
        """Write a block to a file, whole and as announced.

        Raises:
            StationUnavailable, CorruptTransfer, StationRefused, FileGone: As `HttpFiles.download` does.
        """
        return self.files.download(f"{self.config.url}/{_FILES}({quote(block.id, safe='')})/$value", path, block.expected)

    def _with_files(self, filter_text: str, until: float | None) -> Iterator[Row]:
        for row in self._rows("Sessions", odata.options(filter_text=filter_text, expand=_FILES), until):
            if isinstance(row.get(_FILES), list):
                yield row
            else:  # stations that do not expand
                wanted = odata.options(filter_text=f"SessionId eq {odata.literal(str(row.get('SessionId', '')))}")
                yield {**row, _FILES: list(self._rows(_FILES, wanted, until))}

    def _rows(self, entities: str, query: Mapping[str, str], until: float | None) -> Iterator[Row]:
        """Yield the entities of all pages, each once: what is published meanwhile shifts the pages."""
        url: str | None = f"{self.config.url}/{entities}"
        seen: set[str] = set()
        files = self.files
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            page = files.get_json(url, query, until=until)
            rows = odata.rows(page, f"station {self.config.name}")
            yield from (row for row in rows if odata.identifier(row) not in seen)
            seen |= {odata.identifier(row) for row in rows}
            url, query = odata.next_page(page, url), {}
        raise StationRefused(f"station {self.config.name}: {entities} has more than {_MOST_PAGES} pages")
