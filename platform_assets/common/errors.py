"""The two kinds of failure, decided where the fact is known.

`PermanentError` is never retried: trying again cannot help until the input changes.
`TransientError` is retried with back-off. Everything else is a bug in our code or a library: it is retried once and then
reported under its own name.

Every error carries a *code*, the word users filter reports and retries by, and a *remedy*, what to do next.
"""


class GroundtrackError(Exception):
    """Base of the errors the platform raises on purpose.

    Args:
        message: What is wrong and where, in words an operator understands without the source code.
        code: The error class of the reports; defaults to the class's own.
        remedy: What to do next; defaults to the class's own.
    """

    code = "internal_error"
    remedy = "Report it together with the traceback."

    def __init__(self, message: str, *, code: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.remedy = remedy or type(self).remedy

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self), self.code, self.remedy)


def _rebuild(kind: type[GroundtrackError], message: str, code: str, remedy: str) -> GroundtrackError:
    return kind(message, code=code, remedy=remedy)


class PermanentError(GroundtrackError):
    """Bad input or a failed check: the same attempt would fail again."""

    code = "permanent_error"
    remedy = "Correct the input and submit it again."


class TransientError(GroundtrackError):
    """A throttled, slow or unreachable service, or a lost worker: another attempt may succeed."""

    code = "transient_error"
    remedy = "Nothing: it is retried by itself. If it persists, look at the service that the message names."


class ConfigurationError(GroundtrackError):
    """Settings that contradict each other or name what does not exist; nothing is started with them."""

    code = "configuration_error"
    remedy = "Correct the setting that the message names; `groundtrack doctor` checks them all."


class StoreUnavailable(TransientError):
    """The object store cannot be reached, is overloaded, or answered with a server error."""

    code = "store_unavailable"


class WorkerLost(TransientError):
    """The Dask worker died while it held the item."""

    code = "worker_lost"
    remedy = "Retry the item; if it is lost again, look at the worker's log and at the memory of the machine."


class MemoryLimitExceeded(TransientError):
    """The item needed more memory than its share; retried alone on a bigger one."""

    code = "memory_limit"
    remedy = "Retry on workers with more memory (GROUNDTRACK_ITEM_MEMORY_MB), or split the input."


class TimeLimitExceeded(PermanentError):
    """The item ran longer than the limit and its worker was stopped."""

    code = "time_limit"
    remedy = "Raise GROUNDTRACK_ITEM_TIME_LIMIT_S if the item is legitimately slow."


class MissingInput(PermanentError):
    """An object that is needed does not exist."""

    code = "missing_input"
    remedy = "Upload the object, then submit its row again."


class InputChanged(PermanentError):
    """An object was overwritten or deleted between being claimed and being read."""

    code = "input_changed"
    remedy = "Submit the row again: the new content is then claimed."


class LimitExceeded(PermanentError):
    """The input announces more than a configured limit allows; refused before memory is spent."""

    code = "limit_exceeded"
    remedy = "If the input is genuine, raise the limit that the message names."


class CheckFailed(PermanentError):
    """A product that was written did not pass its independent check; it was not published."""

    code = "check_failed"
    remedy = "Report it with the input: a product must never fail its own check."


class Conflict(PermanentError):
    """Another object, run or row already has what this one wants."""

    code = "conflict"
    remedy = "Rename or remove one of the two."
