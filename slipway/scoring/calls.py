"""What surrounds one call of `run()`: the id of its request, on everything that is written meanwhile.

The id is a context variable, so that it holds for threads and for async code alike. `mark_output` puts it in
front of each line that is written to stdout or stderr in a call, by `print` or by `logging`. Lines of one
call are kept whole. Left out: threads that the script starts itself, other programs, and what C code writes.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from inspect import currentframe
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Optional, Sequence, TextIO, cast

from slipway.collect.request import request_id

LONGEST = 65_536
"""Characters after which a line is written although its end has not come."""


if TYPE_CHECKING:
    from slipway.scoring.contract import Request


class Call:
    """A call of `run()`; `partial` holds, by stream, the line whose end has not come yet."""

    __slots__ = ("id", "leave", "partial")

    def __init__(self, request_id: str, leave: Optional[Callable[[], None]]) -> None:
        self.id = request_id
        self.leave = leave
        self.partial: Dict["Marked", str] = {}


current: ContextVar[Optional[Call]] = ContextVar("call", default=None)

surround: Optional[Callable[[str], Callable[[], None]]] = None
"""Called with the trace's context (W3C's `traceparent`) as a call begins; gives what is called at its end."""

listeners: List[Callable[[str], None]] = []
"""Called with what is printed in a call, whole lines of stdout."""

exporter: Optional[logging.Handler] = None
"""The root logger's handler that gets records itself: what `logging` prints of them is not for listeners."""


def enter(requests: "Sequence[Request]") -> None:
    """Begin a call, in the thread or task that will make it. A batch is named by its first request."""
    first = requests[0]
    request_id.set(first.id)  # for data collection
    name = first.id if len(requests) == 1 else f"{first.id} +{len(requests) - 1}"
    current.set(Call(name, surround(first.traceparent) if surround is not None else None))


def leave() -> None:
    """End the call if there is one, in the same thread or task."""
    call = current.get()
    if call is not None:
        for stream, text in list(call.partial.items()):
            stream.put(call, text + "\n")
        current.set(None)
        if call.leave is not None:
            call.leave()


def mark_output() -> None:
    """Put the id of the call in front of the lines of stdout and stderr, from now on."""
    sys.stdout = cast("TextIO", Marked(sys.stdout, listeners))
    sys.stderr = cast("TextIO", Marked(sys.stderr, []))


class Marked:
    """A text stream that marks what is written in a call, and passes on everything else."""

    def __init__(self, stream: TextIO, listeners: List[Callable[[str], None]]) -> None:
        self._stream = stream
        self._listeners = listeners

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        call = current.get()
        if call is None:
            return self._stream.write(text)
        whole, end, rest = (call.partial.pop(self, "") + text).rpartition("\n")
        if len(rest) > LONGEST:
            whole, end, rest = whole + end + rest, "\n", ""
        if rest:
            call.partial[self] = rest
        if end:
            frame = currentframe() if exporter is not None else None
            self.put(call, whole + end, told=frame is not None and _exported(frame.f_back))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def put(self, call: Call, lines: str, *, told: bool = False) -> None:
        """Write whole lines, at once so that those of other calls come before or after.

        `told` says that listeners know them already.
        """
        mark = f"[{call.id}] "
        self._stream.write(mark + lines[:-1].replace("\n", f"\n{mark}") + "\n")
        for listener in () if told else self._listeners:
            listener(lines[:-1])


def _exported(writer: Optional[FrameType]) -> bool:
    """Tell whether a handler of `logging` writes a record that reaches `exporter` too."""
    if writer is None or writer.f_globals.get("__name__") != "logging":
        return False
    record = writer.f_locals.get("record")
    if record is None or exporter not in logging.getLogger().handlers:
        return False
    logger: Optional[logging.Logger] = logging.getLogger(record.name)
    while logger is not None and logger.propagate:
        logger = logger.parent
    return logger is None
