"""OSC in: what Max, Pd and TouchOSC send steers the music, and junk is refused in one line."""

import random
import socket
import struct

import pytest
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

from musicgraph.app.osc import OscDoor
from musicgraph.app.studio.performance import Announced
from musicgraph.app.studio.said import Said
from musicgraph.models.refused import Refused


class Place:
    """Notes what is said to it."""

    def __init__(self):
        self.heard = []

    def say(self, said):
        self.heard.append(said)
        if said == Said(text="too late"):
            raise Refused("what is said", got="it for 9 s", remedy="it comes too late: begin anew")
        if said == Said(cfg=13.0):
            raise Refused("cfg", got=13, expected="a luckier number")
        return Announced(50, 1.0, "", {})

    def undo(self):
        return self.say("undo")

    def end(self, fade_s):
        self.heard.append(fade_s)
        return 7.5


class Pad:
    """A controller."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(10)

    def send(self, address, *arguments):
        return self.send_bytes(message(address, *arguments).dgram)

    def send_bytes(self, data):
        self.socket.send(data)
        return self.answer()

    def answer(self):
        (found,) = OscPacket(self.socket.recv(65535)).messages
        return [found.message.address, *found.message.params]


def message(address, *arguments):
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)
    return builder.build()


@pytest.fixture
def place():
    return Place()


@pytest.fixture
def door(place):
    door = OscDoor(0, lambda: place)
    yield door
    door.close()


@pytest.fixture
def pad(door):
    return Pad(door.port)


SAYINGS = [
    ("text", ["loud drums"], Said(text="loud drums")),
    ("weights", [0.7, 0.3], Said(weights=(0.7, 0.3))),
    ("drums", ["out"], Said(drums="out")),
    ("drums", [1], Said(drums="in")),
    ("drums", [0.0], Said(drums="out")),
    ("cfg", [2.9], Said(cfg=2.9)),
    ("temperature", [1], Said(temperature=1.0)),
    ("top_k", [50.0], Said(top_k=50)),
    ("seed", [9], Said(seed=9)),
]


@pytest.mark.parametrize(("name", "arguments", "said"), SAYINGS)
def test_a_message_is_said_and_answered_with_when_it_holds(place, pad, name, arguments, said):
    assert pad.send(f"/musicgraph/{name}", *arguments) == ["/musicgraph/said", 50, 1.0]
    assert place.heard == [said]


def test_a_new_idea_draws_its_seed_and_undo_and_end_are_done(place, pad):
    pad.send("/musicgraph/seed")
    assert 0 <= place.heard.pop().seed < 2**32
    pad.send("/musicgraph/undo")
    assert pad.send("/musicgraph/end") == ["/musicgraph/ends", 7.5]
    pad.send("/musicgraph/end", 2.5)
    assert place.heard == ["undo", 0.0, 2.5]


def test_a_bundle_is_all_of_its_messages(place, pad):
    bundle = OscBundleBuilder(IMMEDIATELY)
    bundle.add_content(message("/musicgraph/cfg", 2))
    bundle.add_content(message("/musicgraph/drums", "in"))
    pad.send_bytes(bundle.build().dgram)
    pad.answer()
    assert place.heard == [Said(cfg=2.0), Said(drums="in")]


def test_of_a_slider_the_newest_value_counts(place, pad):
    for value in range(20):
        pad.socket.send(message("/musicgraph/cfg", value / 2).dgram)
    while place.heard[-1:] != [Said(cfg=9.5)]:
        pad.answer()
    assert len(place.heard) < 20


WRONG = [
    ("/musicgraph/volume", [1], 'got "/musicgraph/volume", expected one of /musicgraph/text'),
    ("/cfg", [1], "expected one of /musicgraph/text"),
    ("/musicgraph/cfg", [], "OSC cfg: got 0 arguments, expected one"),
    ("/musicgraph/cfg", [1, 2], "OSC cfg: got 2 arguments, expected one"),
    ("/musicgraph/cfg", ["loud"], 'cfg: got "loud", expected a number from 0 to 20'),
    ("/musicgraph/cfg", [float("nan")], "cfg: got"),
    ("/musicgraph/cfg", [13], "cfg: got 13, expected a luckier number"),
    ("/musicgraph/text", [3], "text: got 3, expected text"),
    ("/musicgraph/text", ["too late"], "it comes too late: begin anew"),
    ("/musicgraph/weights", [], "weights: got [], expected a list of at most 8 numbers"),
    ("/musicgraph/drums", [7], "drums: got 7, expected one of"),
    ("/musicgraph/end", ["now"], 'OSC end: got "now", expected seconds from 0 to 60'),
    ("/musicgraph/end", [float("nan")], "OSC end: got"),
]


@pytest.mark.parametrize(("address", "arguments", "words"), WRONG)
def test_what_cannot_be_is_refused_in_one_line(pad, address, arguments, words):
    answered, told = pad.send(address, *arguments)
    assert answered == "/musicgraph/refused" and words in told and "\n" not in told


def test_junk_is_refused_and_the_door_stays_open(place, pad, caplog):
    dice = random.Random(1)
    whole = message("/musicgraph/cfg", 2.0).dgram
    deep = whole
    for _ in range(400):
        deep = b"#bundle\0" + bytes(8) + struct.pack(">i", len(deep)) + deep
    junk = [bytes(dice.randrange(256) for _ in range(dice.randrange(80))) for _ in range(30)]
    junk += [whole[:cut] for cut in range(1, len(whole))] + [b"#bundle\0", b"/\xff\0\0,f\0\0", deep]
    for data in junk:
        assert pad.send_bytes(data)[0] in ("/musicgraph/refused", "/musicgraph/said")
    assert pad.send("/musicgraph/drums", "in")[0] == "/musicgraph/said"
    assert any("no OSC" in record.message for record in caplog.records)


def test_with_nothing_that_plays_it_says_so_and_a_port_that_is_taken_is_refused():
    door = OscDoor(0, lambda: None)
    assert "expected music that plays" in Pad(door.port).send("/musicgraph/cfg", 2)[1]
    for port in (door.port, 70_000):
        with pytest.raises(Refused, match="--osc: got port"):
            OscDoor(port, lambda: None)
    door.close()
