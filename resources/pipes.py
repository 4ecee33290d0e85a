"""Dagster Pipes over processes that tell what they do in messages of ours, so that they need no Dagster package.

Nothing is taken for success but the message that says so: whoever runs the process decides that. This only brings what is
told into Dagster's session: when it opened, how far it is, how it closed.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import dagster as dg
from dagster import PipesMessageHandler, PipesSession, open_pipes_session

Context = dg.OpExecutionContext | dg.AssetExecutionContext

_NOWHERE = "its messages come from the process that runs it"


class ProcessPipes(dg.PipesMessageReader):
    """The Pipes session of a step's process, as a context: opened by its first message, closed by its last, or by the context's end.

    Args:
        context: The step's.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stack = ExitStack()
        self._handler: PipesMessageHandler | None = None
        self._session: PipesSession | None = None
        self._is_closed = False

    @property
    def expected_writer_count(self) -> int:
        """How many processes tell: one. Dagster's own property warns of itself."""
        return 1

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take a message of the process."""
        match message["kind"]:
            case "started":
                self._open()
                self._context.log.info(f"process {message['pid']}, Python {message['python']}")
            case "progress":
                self._context.log.info(f"{100 * message['fraction']:.0f} %  {message['text']}".rstrip())
            case "failed":
                self._close(_exception(message["type"], message["message"], message["traceback"]))
            case "completed":
                self._close()

    def results(self, metadata: Mapping[str, Any]) -> Iterator[Any]:
        """Yield a materialization of each of the step's assets with some metadata."""
        self._open()
        self._close()
        if self._session:
            yield from self._session.get_results(metadata=metadata)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """End the session, also of a process that did not tell its end."""
        if self._session:
            self._close(_exception(kind.__name__, str(error), "") if kind else None)
        self._stack.close()

    @contextmanager
    def read_messages(self, handler: PipesMessageHandler) -> Iterator[dict[str, Any]]:
        """Yield no parameters: `hear` gets the messages."""
        self._handler = handler
        yield {}

    def no_messages_debug_text(self) -> str:
        """Return what Dagster says where no message came."""
        return _NOWHERE

    def _open(self) -> None:
        if self._session is None:
            # With an asset's context Dagster warns of what it uses itself.
            context = self._context.op_execution_context if isinstance(self._context, dg.AssetExecutionContext) else self._context
            self._session = self._stack.enter_context(open_pipes_session(context, _NoContext(), self))
            self._tell("opened", {"extras": {}})

    def _close(self, exception: Mapping[str, Any] | None = None) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._tell("closed", {"exception": exception} if exception else {})

    def _tell(self, method: Any, params: Mapping[str, Any]) -> None:
        if self._handler:
            self._handler.handle_message({"__dagster_pipes_version": "0.1", "method": method, "params": params})


class _NoContext(dg.PipesContextInjector):
    """The process gets its order on standard input, not from Dagster."""

    @contextmanager
    def inject_context(self, context: Any) -> Iterator[dict[str, Any]]:
        del context
        yield {}

    def no_messages_debug_text(self) -> str:
        return _NOWHERE


def _exception(name: str, message: str, traceback: str) -> dict[str, Any]:
    return {"name": name, "message": message, "stack": traceback.splitlines(keepends=True), "cause": None, "context": None}
