"""OSC in: Max, Pd, TouchOSC, Sonic Pi and their like steer the music that plays (extra `live`).

    /musicgraph/text         a prompt or a mix
    /musicgraph/weights      a number for each part of the mix
    /musicgraph/drums        in, out or free; or 1 and 0
    /musicgraph/energy       low, free or high
    /musicgraph/cfg  /temperature  /top_k
    /musicgraph/seed         a new idea, of this number or of one that is drawn
    /musicgraph/undo         takes back what was said last
    /musicgraph/end          ends the music, at once or falling silent in so many seconds

Each is answered to where it came from: /musicgraph/said FRAME SECOND, /musicgraph/ends SECOND, or
/musicgraph/refused WORDS. What is overtaken by a newer one of its address within `GATHER_S`, as a
slider's values are, is left out.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..models.quoting import one_line, shown
from ..models.refused import Refused
from .studio.said import DRUMS, IN, MAX_END_S, OUT, SETTINGS, read_said

if TYPE_CHECKING:
    from .studio.stage import LivePlace

log = logging.getLogger("musicgraph")

ROOT = "/musicgraph/"
ADDRESSES = ("text", "weights", "drums", "energy", *SETTINGS, "undo", "end")
GATHER_S = 0.03
MAX_PACKET_BYTES = 65_535
MAX_WAITING = 64
"""messages that are gathered at once"""
LOOK_S = 0.2

Packet = tuple[bytes, Any]
"""what came, and from where"""
Message = tuple[str, list[Any]]
"""an address, and what stands behind it"""


class OscDoor:
    """Listens on a UDP port of this machine, in a thread of its own, until it is closed."""

    def __init__(self, port: int, latest: Callable[[], LivePlace | None]):
        """`latest` gives the performance that is steered. Raises Refused if the extra is missing,
        or the port taken.
        """
        self._parsed, self._latest = _parser(), latest
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise Refused(
                "--osc", got=f"port {port}, which cannot be opened", expected="a free UDP port"
            ) from error
        self._socket.settimeout(LOOK_S)
        self.port: int = self._socket.getsockname()[1]
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="musicgraph-osc", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._closed.is_set():
            for (address, arguments), sender in self._gathered():
                try:
                    self._answer(sender, self._told(address, arguments))
                except Exception:  # a bug in one message must not end all later ones
                    log.exception("OSC %s failed", one_line(shown(address)))

    def _gathered(self) -> list[tuple[Message, Any]]:
        """The newest message of each address, from the first that comes until a little later."""
        newest: dict[tuple[Any, str], tuple[Message, Any]] = {}
        until = math.inf
        while len(newest) < MAX_WAITING and time.monotonic() < until:
            packet = self._received(LOOK_S if math.isinf(until) else GATHER_S)
            if packet is None:
                break
            until = min(until, time.monotonic() + GATHER_S)
            for message in self._messages(packet):
                newest.pop((packet[1], message[0]), None)
                newest[packet[1], message[0]] = message, packet[1]
        return list(newest.values())

    def _received(self, wait_s: float) -> Packet | None:
        self._socket.settimeout(wait_s)
        try:
            return self._socket.recvfrom(MAX_PACKET_BYTES)
        except TimeoutError:
            return None
        except OSError as error:  # whom we answered is not there: told with the next packet
            log.debug("OSC: %s", error)
            return None

    def _messages(self, packet: Packet) -> Iterator[Message]:
        found = self._parsed(packet[0])
        if found is None:
            log.warning("OSC: got %d bytes that are no OSC", len(packet[0]))
            self._answer(packet[1], ("refused", ["got bytes that are no OSC, expected a message"]))
        else:
            yield from found

    def _told(self, address: str, arguments: list[Any]) -> Message:
        try:
            place = self._latest()
            if place is None:
                raise Refused("OSC", got="a message", expected="music that plays; begin some")
            return _done(place, address, arguments)
        except Refused as error:
            log.warning("OSC %s: %s", one_line(shown(address)), error)
            return "refused", [str(error)]

    def _answer(self, sender: Any, message: Message) -> None:
        from pythonosc.osc_message_builder import OscMessageBuilder

        builder = OscMessageBuilder(ROOT + message[0])
        for argument in message[1]:
            builder.add_arg(argument)
        try:
            self._socket.sendto(builder.build().dgram, sender)
        except OSError as error:
            log.debug("OSC: %s", error)


def _done(place: LivePlace, address: str, arguments: list[Any]) -> Message:
    """What a message asks for, done; raises Refused."""
    name = address.removeprefix(ROOT)
    if name not in ADDRESSES or not address.startswith(ROOT):
        expected = f"one of {', '.join(ROOT + one for one in ADDRESSES)}"
        raise Refused("OSC", got=shown(address), expected=expected)
    if name == "end":
        return "ends", [place.end(fade_s=_seconds(arguments))]
    announced = place.undo() if name == "undo" else place.say(read_said(_fields(name, arguments)))
    return "said", [announced.frame, announced.second]


def _seconds(arguments: list[Any]) -> float:
    value = _single("end", arguments or [0.0])
    if not (_is_number(value) and 0 <= value <= MAX_END_S):
        raise Refused("OSC end", got=shown(value), expected=f"seconds from 0 to {MAX_END_S:g}")
    return float(value)


def _fields(name: str, arguments: list[Any]) -> dict[str, Any]:
    """As the other doors are sent them. OSC's floats have seven digits, of which four are meant."""
    values = [round(one, 4) if isinstance(one, float) else one for one in arguments]
    if name == "weights":
        return {name: values}
    value = _single(name, values or ([-1] if name == "seed" else []))
    if name == "drums" and value not in DRUMS:
        value = {0.0: OUT, 1.0: IN}.get(float(value), value) if _is_number(value) else value
    return {name: value}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _single(name: str, arguments: list[Any]) -> Any:
    if len(arguments) != 1:
        raise Refused(f"OSC {name}", got=f"{len(arguments)} arguments", expected="one")
    return arguments[0]


def _parser() -> Callable[[bytes], list[Message] | None]:
    """The messages of a packet; None for what is none."""
    try:
        from pythonosc.osc_packet import OscPacket, ParseError
    except ImportError:
        remedy = "install it with: pip install 'musicgraph[live]'"
        raise Refused("--osc", got="a Python without python-osc", remedy=remedy) from None

    def parsed(data: bytes) -> list[Message] | None:
        if not data.startswith((b"/", b"#bundle\0")):
            return None  # of which the library would write a line
        try:
            messages = OscPacket(data).messages
            return [(one.message.address, list(one.message.params)) for one in messages]
        except (ParseError, ValueError, IndexError, RecursionError):
            return None

    return parsed
