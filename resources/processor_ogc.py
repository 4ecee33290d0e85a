"""A service of OGC API - Processes as a processor: a job is submitted, waited for, listened to, and dismissed when it is given up.

The service gets the payload with references for secrets, as it is stored or in the request itself; what they stand for, it
must know on its own. Its jobs are remembered beside the stored payload, so that the job of a worker that was killed is
dismissed when the payload is run again.
"""

import json
import posixpath
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import requests
from requests import RequestException, Response

from platform_assets.common.errors import ConfigurationError, GroundtrackError, MissingInput, TransientError
from platform_assets.dpr.errors import MissingSecret, choice, quoted
from platform_assets.dpr.places import Buckets, files_at, split
from platform_assets.dpr.processors import (
    OGC,
    Order,
    Processed,
    ProcessorCrashed,
    ProcessorFailed,
    ProcessorTimeout,
    ProcessorUnavailable,
    UnknownProcessor,
    masked,
    reveal,
)
from platform_assets.dpr.secrets import Secret
from resources.task_abort import Abort

_TIMEOUT_S = (10, 60)
_LOG_BYTES = 16 << 20
_LISTEN_S = 60.0
_UNDER_WAY = ("accepted", "running")
_JOB = ".ogc-job.json"
_JOB_BYTES = 1 << 16

Send = Literal["reference", "inline"]


@dataclass(frozen=True)
class OgcProcessor:
    """A service of OGC API - Processes.

    Attributes:
        url: Its landing page, such as `https://dpr.example.org/api`.
        buckets: Where buckets are.
        secrets: What references stand for; looked up where this runs.
        process: The process; empty for the one that is called as the request's processor.
        authorization: The header of that name, with references such as `Bearer ${DPR_TOKEN}`; empty for none.
        send: Whether the service is told where the payload lies, or given the payload.
        inputs: Further inputs of the process; references in texts are replaced by secrets.
        deadline_s: How long a job may take.
        silence_s: How long the service may not answer, before the job is taken for lost.
        poll_s: The first pause between two looks at the job; pauses grow.
        longest_poll_s: The longest pause.
    """

    url: str
    buckets: Buckets
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    process: str = ""
    authorization: str = ""
    send: Send = "reference"
    inputs: Mapping[str, Any] = field(default_factory=dict)
    deadline_s: float = 24 * 3600.0
    silence_s: float = 300.0
    poll_s: float = 1.0
    longest_poll_s: float = 15.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in parts.netloc:
            raise ConfigurationError(f"the url of {parts.hostname} has credentials in it", remedy="Give them in `authorization`.")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"the url {quoted(self.url)} is no http:// or https:// address", remedy="Correct it.")

    def run(self, order: Order) -> Processed:
        """Run a payload; see `Processor`.

        Raises:
            ProcessorFailed: The job failed, or the service refused it.
            ProcessorCrashed: The service does not know the job any more, or the run was canceled.
            ProcessorTimeout: The job took too long; it was dismissed.
            ProcessorUnavailable: The service does not answer.
            UnknownProcessor: It has no such process.
            ConfigurationError: It refuses the credentials.
            MissingSecret: A secret is not among those given.
        """
        return _Run(self, order).result()


class _Lost(TransientError):
    """The service did not answer one question."""


class _Run:
    """One payload at a service."""

    def __init__(self, service: OgcProcessor, order: Order) -> None:
        self._service, self._order = service, order
        self._url = service.url.rstrip("/")
        self._process = service.process or order.request.processor_name
        self._secrets: set[str] = set(order.secrets)
        self._headers = {"Authorization": self._revealed(service.authorization)} if service.authorization else {}
        self._abort = Abort()
        self._lines: list[str] = []
        self._told = ""

    def result(self) -> Processed:
        self._dismiss_left_over()
        began = time.monotonic()
        job = self._submit()
        with self._given_up(job):
            self._remember(job)
            status = self._wait(job, began + self._service.deadline_s)
        self._log(f"job {job} {status['status']}: {status.get('message') or ''}")
        for line in self._log_of(job):
            self._log(line)
        self._forget()
        if status["status"] != "successful":
            words = self._shown(str(status.get("message") or "it does not say why"))
            raise ProcessorFailed(f"{self._order.request_id}: job {job} of {self._url} {status['status']}: {words[:2000]}")
        facts = {
            "processor": OGC,
            "service": self._url,
            "process": self._process,
            "job": job,
            "seconds": round(time.monotonic() - began, 1),
        }
        return Processed("".join(f"{line}\n" for line in self._lines), facts)

    # --- the job -----------------------------------------------------------------------------------------------------

    def _submit(self) -> str:
        address = f"{self._url}/processes/{quote(self._process, safe='')}/execution"
        body = {"inputs": self._inputs()}
        try:
            answer = self._ask("POST", address, json=body, headers={"Prefer": "respond-async"}, allow_redirects=False)
        except _Lost as error:
            raise ProcessorUnavailable(f"{self._url} does not answer: {error}") from error
        if answer.status_code == 404:
            raise UnknownProcessor(f"{self._url} has no process {quoted(self._process)}; {choice('processes', self._processes())}")
        if answer.status_code not in (200, 201, 202):
            raise ProcessorFailed(f"{self._url} refuses the job: {self._reason(answer)}", code="job_refused")
        document = _json(answer)
        found = (document.get("jobID") if isinstance(document, dict) else None) or answer.headers.get("Location", "")
        job = urlsplit(str(found)).path.rstrip("/").rpartition("/")[2]
        if not job:
            raise ProcessorFailed(
                f"{self._url} does not say which job it is", code="job_refused", remedy="Give a service of OGC API - Processes."
            )
        self._log(f"job {job}: process {self._process} of {self._url}")
        return job

    def _inputs(self) -> dict[str, Any]:
        order, request = self._order, self._order.request
        folder, name = posixpath.split(order.stored_url)
        payload = {"payload": order.stored} if self._service.send == "inline" else {"s3_config_dir": folder, "payload_subpath": name}
        cluster = {"cluster_label": request.dask_cluster_label, "cluster_instance": request.dask_cluster_instance or ""}
        return {**payload, "s3_report_dir": folder, **cluster, **self._resolved(self._service.inputs)}

    def _wait(self, job: str, deadline: float) -> Mapping[str, Any]:
        """Return the status of a job that has ended."""
        pause_s, heard_at = self._service.poll_s, time.monotonic()
        while True:
            try:
                status = self._status(job)
                heard_at = time.monotonic()
                if status.get("status") not in _UNDER_WAY:
                    return status
                self._tell(status)
            except _Lost as error:
                if time.monotonic() - heard_at > self._service.silence_s:
                    raise ProcessorUnavailable(
                        f"{self._url} has not told of job {job} for {self._service.silence_s:,.0f} s: {error}"
                    ) from error
            if time.monotonic() + pause_s > deadline:
                raise ProcessorTimeout(
                    f"{self._order.request_id}: job {job} of {self._url} had not ended after {self._service.deadline_s:,.0f} s"
                )
            self._sleep(pause_s)
            pause_s = min(1.5 * pause_s, self._service.longest_poll_s)

    def _status(self, job: str) -> Mapping[str, Any]:
        answer = self._ask("GET", f"{self._url}/jobs/{quote(job, safe='')}", params={"f": "json"})
        if answer.status_code in (404, 410):
            raise ProcessorCrashed(f"{self._url} does not know job {job} any more: it was dismissed, or the service was started anew")
        status = _json(answer)
        if answer.status_code != 200 or not isinstance(status, dict) or "status" not in status:
            raise _Lost(self._reason(answer))
        return status

    def _tell(self, status: Mapping[str, Any]) -> None:
        progress = f" {status['progress']} %" if status.get("progress") is not None else ""
        told = f"{status['status']}{progress}: {status.get('message') or ''}"
        if told != self._told:
            self._told = told
            self._log(told)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            if self._abort():
                raise ProcessorCrashed("the run was canceled", code="canceled")
            time.sleep(min(left_s, 1.0))

    @contextmanager
    def _given_up(self, job: str) -> Iterator[None]:
        """Dismiss a job if a block that waits for it raises, whatever it raises."""
        try:
            yield
        except BaseException:
            self._dismiss(job)
            self._forget()
            raise

    def _dismiss(self, job: str) -> None:
        with suppress(GroundtrackError):
            answer = self._ask("DELETE", f"{self._url}/jobs/{quote(job, safe='')}")
            self._log(f"job {job} is dismissed" if answer.ok else f"job {job} is not dismissed: {self._reason(answer)}")

    # --- jobs of attempts that were killed -----------------------------------------------------------------------------

    def _memory(self) -> tuple[Any, str] | None:
        """Return bucket and key of the note about the job that is under way; None when the payload is not stored."""
        if not self._order.stored_url.startswith("s3://"):
            return None
        bucket, key = split(self._order.stored_url)
        return self._service.buckets.bucket(bucket), f"{key}{_JOB}"  # requests may have their payloads in one folder

    def _remember(self, job: str) -> None:
        if place := self._memory():
            note = json.dumps({"service": self._url, "job": job}).encode()
            place[0].write(place[1], note, content_type="application/json")

    def _forget(self) -> None:
        if place := self._memory():
            place[0].delete(place[1])

    def _dismiss_left_over(self) -> None:
        place = self._memory()
        try:
            note = json.loads(place[0].read(place[1], limit_bytes=_JOB_BYTES)[0]) if place else {}
        except MissingInput:
            return
        if note.get("service") == self._url:
            self._dismiss(note["job"])

    # --- what the job says -----------------------------------------------------------------------------------------

    def _log_of(self, job: str) -> Iterator[str]:
        """Yield the lines of a job's log: as the service gives it, else what it left beside the payload."""
        found = False
        with suppress(GroundtrackError, RequestException):
            for line in self._streamed(job):
                found = True
                yield line
        if found or not self._order.stored_url.startswith("s3://"):
            return
        folder, name = posixpath.split(self._order.stored_url)
        report = f"{folder}/reports/{posixpath.splitext(name)[0]}.processor.log"
        with suppress(GroundtrackError):
            for file in files_at(self._service.buckets, report):
                bucket, key = split(file.path)
                data, _ = self._service.buckets.bucket(bucket).read(key, limit_bytes=_LOG_BYTES)
                yield from data.decode(errors="replace").splitlines()

    def _streamed(self, job: str) -> Iterator[str]:
        """Yield the log that some services have as text or as events of a stream, which ends with the job."""
        address, deadline, size = f"{self._url}/jobs/{quote(job, safe='')}/logs", time.monotonic() + _LISTEN_S, 0
        with self._ask("GET", address, headers={"Accept": "text/event-stream, text/plain"}, stream=True) as answer:
            kind = answer.headers.get("Content-Type", "")
            if answer.status_code != 200 or not kind.startswith(("text/event-stream", "text/plain")):
                return
            for data in answer.iter_lines():
                size += len(data)
                if size > _LOG_BYTES or time.monotonic() > deadline:
                    return
                line = data.decode(errors="replace")
                if not kind.startswith("text/event-stream"):
                    yield line
                elif line.startswith("data:"):
                    yield line.removeprefix("data:").removeprefix(" ")

    # --- asking ------------------------------------------------------------------------------------------------------

    def _ask(self, method: str, address: str, **options: Any) -> Response:
        """Return an answer that is about what was asked.

        Raises:
            _Lost: There is none, or the service is overloaded or broken.
            ConfigurationError: The service refuses the credentials.
        """
        headers = {"Accept": "application/json", **self._headers, **options.pop("headers", {})}
        try:
            answer = requests.request(method, address, headers=headers, timeout=_TIMEOUT_S, **options)
        except RequestException as error:
            raise _Lost(self._shown(f"{type(error).__name__}: {error}"[:300])) from None
        if answer.status_code in (401, 403):
            raise ConfigurationError(
                f"{self._url} refuses the credentials: HTTP {answer.status_code}", remedy="Correct its `authorization`."
            )
        if answer.status_code in (408, 429) or answer.status_code >= 500:
            raise _Lost(f"HTTP {answer.status_code}")
        return answer

    def _reason(self, answer: Response) -> str:
        document = _json(answer)
        words = document if isinstance(document, dict) else {}
        text = words.get("description") or words.get("detail") or words.get("title") or answer.text
        return self._shown(f"HTTP {answer.status_code}: {text}"[:500])

    def _processes(self) -> list[str]:
        with suppress(GroundtrackError):
            document = _json(self._ask("GET", f"{self._url}/processes", params={"f": "json"}))
            if isinstance(document, dict):
                return [str(row.get("id")) for row in document.get("processes", ())]
        return []

    def _resolved(self, value: Any) -> Any:
        match value:
            case str():
                return self._revealed(value)
            case Mapping():
                return {name: self._resolved(part) for name, part in value.items()}
            case list():
                return [self._resolved(part) for part in value]
            case _:
                return value

    def _revealed(self, text: str) -> str:
        try:
            value, used = reveal(Secret(text), self._service.secrets)
        except MissingSecret as error:
            raise MissingSecret(f"{self._url}: {error}") from None
        self._secrets |= used
        return str(value)

    def _shown(self, text: str) -> str:
        return masked(text, self._secrets)

    def _log(self, line: str) -> None:
        shown = self._shown(line)
        self._lines.append(shown)
        self._order.log(shown)


def _json(answer: Response) -> Any:
    with suppress(ValueError):
        return answer.json()
    return None
