# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""Ask hundreds of streams at once: who is asked when, by how many connections, and who is not asked any more.

Each host has a few connections, each of them asks for one stream after the other. A device is greeted once, by one
connection alone; a login is tried once, by one connection alone (rtsp_login.py); a device that takes fewer connections
than it is given keeps those that it took. Python's standard library only.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from .offer import Offer, Question
from .rtsp import RtspClient
from .rtsp_login import LoginGate
from .rtsp_play import MAX_RECEIVE_S, receive
from .rtsp_target import RtspError, Target

MAX_CONNECTIONS = 256
"""Connections altogether, whatever the number of hosts: each is a thread."""

MAX_TIMEOUTS = 3
"""So many answers missing in a row, or twice as many as connections, are a broken DVR, not broken channels."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard the devices are asked, and for how long; seconds."""

    connections_per_host: int = 16
    total_timeout_s: float = 120.0
    receive_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be right."""
        if not 1 <= self.connections_per_host <= MAX_CONNECTIONS:
            raise ValueError(f"connections_per_host is {self.connections_per_host}, it must be 1 to {MAX_CONNECTIONS}")
        if not 0 < self.total_timeout_s <= 86_400:
            raise ValueError(f"total_timeout_s is {self.total_timeout_s}, it must be above 0 and at most 86400")
        if not 0 <= self.receive_s <= MAX_RECEIVE_S:
            raise ValueError(f"receive_s is {self.receive_s}, it must be 0 to {MAX_RECEIVE_S:g}")


@dataclass
class Device:
    """One port of one host, as all connections to it see it."""

    server: str | None = None
    methods: tuple[str, ...] = ()
    dead: RtspError | None = None
    timeouts: int = 0
    """Answers missing since the last one that came."""

    gates: dict[tuple[str | None, str | None], LoginGate] = field(default_factory=dict)
    _greeted: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def gate(self, target: Target) -> LoginGate:
        """Return what is known of a login."""
        with self._lock:
            return self.gates.setdefault((target.username, target.password), LoginGate())

    def greet(self, client: RtspClient) -> None:
        """Ask which requests it knows, the first time; the others wait. One that does not answer this is dead."""
        with self._lock:
            if self._greeted:
                return
            self._greeted = True
            try:
                self.methods = client.options()
                self.server = client.server
            except RtspError as error:
                self.dead = error

    def note(self, target: Target, error: RtspError | None, connections: int) -> None:
        """Count answers that are missing in a row."""
        with self._lock:
            self.timeouts = self.timeouts + 1 if error is not None and error.cause == "timeout" else 0
            if self.timeouts >= max(MAX_TIMEOUTS, 2 * connections) and self.dead is None:
                text = f"{target.authority} gave no answer {self.timeouts} times in a row: the rest was not asked."
                self.dead = RtspError("timeout", text)


Devices = dict[tuple[str, int], Device]
"""By host, in small letters, and port."""


class Lane:
    """The streams of one host, and the connections that ask for them."""

    def __init__(
        self, questions: Iterable[tuple[int, Question]], limits: Limits, until: float, devices: Devices
    ) -> None:
        """Take the streams with their numbers; `until` is the monotonic time when all must end."""
        self._waiting = deque(questions)
        self._limits = limits
        self._until = until
        self._lock = threading.Lock()
        self._at_work = 0
        self._put_back: set[int] = set()
        self.slots = min(len(self._waiting), limits.connections_per_host)
        self._devices = devices

    def serve(self, answer: Callable[[int, Offer], None]) -> None:
        """Ask for one stream after the other until none is left, or the host wants fewer connections."""
        client: RtspClient | None = None
        welcome = False
        with self._lock:
            self._at_work += 1
        try:
            while (taken := self._take()) is not None:
                number, question = taken
                device = self._device(question.target)
                if client is None or client.target != question.target:
                    if client is not None:
                        client.close()
                    client = RtspClient(question.target, device.gate(question.target), self._until)
                    welcome = False
                offer = self._offer(client, device, question)
                if offer.error in ("busy", "unreachable") and device.dead is None:
                    # Is it this connection that is one too many, or this channel that cannot be had now?
                    too_many = offer.error == "unreachable" or not welcome or client.wanted_session
                    if too_many and self._leave(number, question):
                        return
                    if not too_many and self._ask_later(number, question):
                        continue
                else:
                    welcome = True
                answer(number, offer)
        finally:
            if client is not None:
                client.close()

    def _take(self) -> tuple[int, Question] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._at_work -= 1
            return None

    def _device(self, target: Target) -> Device:
        with self._lock:  # no other lane has this host
            return self._devices.setdefault((target.host.lower(), target.port), Device())

    def _leave(self, number: int, question: Question) -> bool:
        """Give up this connection and leave the stream to the others, if there are any."""
        with self._lock:
            if self._at_work < 2:
                return False
            self._at_work -= 1
            self._waiting.append((number, question))
            return True

    def _ask_later(self, number: int, question: Question) -> bool:
        """Put a stream that was busy to the end of the queue, once."""
        with self._lock:
            if number in self._put_back or not self._waiting:
                return False
            self._put_back.add(number)
            self._waiting.append((number, question))
            return True

    def _offer(self, client: RtspClient, device: Device, question: Question) -> Offer:
        """Ask for one stream, unless the answer is known."""
        where = f"{question.target.authority}{question.path}"
        if time.monotonic() >= self._until:
            text = f"{where} was not asked within the {self._limits.total_timeout_s:g} s that all may take."
            return question.failed(RtspError("timeout", text))
        try:
            device.greet(client)
            if device.dead is not None:
                return question.failed(device.dead)
            if client.gate.refused:
                return question.failed(client.not_asked())
            offer = ask(client, question, self._limits.receive_s)
        except RtspError as error:
            device.note(question.target, error, self._at_work)
            return question.failed(error)
        except Exception as error:  # noqa: BLE001  # an answer no parser foresaw must not cost the others
            client.close()
            return question.failed(_unforeseen(where, error))
        device.note(question.target, None, self._at_work)
        return offer


def _unforeseen(where: str, error: Exception) -> RtspError:
    """Return the error for a defect of the probe, with its place, but without its text: it may hold a secret."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} in {Path(at.filename).name}, line {at.lineno}"
    return RtspError("protocol", f"{where} gave an answer that the probe failed on ({place}): please report it.")


def ask(client: RtspClient, question: Question, receive_s: float = 0.0) -> Offer:
    """Ask for one stream over a connection, and watch it if that is wanted; raises RtspError."""
    base, media = client.description(question.path)
    video = next(item for item in media if item.kind == "video")
    audio = next((item.codec for item in media if item.kind == "audio"), None)
    width, height, fps, received = video.width, video.height, video.fps, None
    if receive_s:
        where = f"{question.target.authority}{question.path}"
        received, picture = receive(client, base, video, where, receive_s)
        if picture is not None:
            width, height, fps = width or picture.width, height or picture.height, fps or picture.fps
        fps = fps or received.fps
    return Offer(question, video.codec, width, height, fps, audio, received)


def ask_all(
    questions: Sequence[Question], limits: Limits, devices: Devices | None = None, until: float | None = None
) -> tuple[Offer, ...]:
    """Ask for all streams; each gets an offer or an error, in this order, and it ends by the total timeout.

    `devices` is what is known of them (who is dead, which login was refused), and takes what is learnt. `until` is the
    monotonic time when the total timeout ends that began with an earlier question.
    """
    devices = {} if devices is None else devices
    until = time.monotonic() + limits.total_timeout_s if until is None else until
    by_host: dict[str, list[tuple[int, Question]]] = {}
    for number, question in enumerate(questions):
        by_host.setdefault(question.target.host.lower(), []).append((number, question))
    lanes = [Lane(asked, limits, until, devices) for asked in by_host.values()]
    # Every host gets its first connection before any gets its second.
    slots: SimpleQueue[Lane] = SimpleQueue()
    for turn in range(max((lane.slots for lane in lanes), default=0)):
        for lane in lanes:
            if turn < lane.slots:
                slots.put(lane)
    offers: dict[int, Offer] = {}
    _work_off(slots, offers, until)
    found = dict(offers)
    for number, question in enumerate(questions):
        if number not in found:
            where = f"{question.target.authority}{question.path}"
            text = f"{where} was not answered within the {limits.total_timeout_s:g} s that all may take."
            found[number] = question.failed(RtspError("timeout", text))
    return tuple(found[number] for number in range(len(questions)))


def _work_off(slots: SimpleQueue[Lane], offers: dict[int, Offer], until: float) -> None:
    """Serve all slots, by as many threads as there may be connections, and wait for them."""

    def work() -> None:
        while True:
            try:
                lane = slots.get_nowait()
            except Empty:
                return
            lane.serve(offers.__setitem__)

    count = min(MAX_CONNECTIONS, slots.qsize())
    # Daemons: a name that does not resolve holds its thread in the C library for as long as it likes.
    threads = [threading.Thread(target=work, daemon=True, name=f"probe-{number}") for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until + 1.0 - time.monotonic()))
