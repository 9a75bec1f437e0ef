# Copyright (c) 2026 CLLMH contributors
# SPDX-License-Identifier: MIT
"""What one DVR offers: its channels by number, its vendor found out where it is not known.

Python's standard library only.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .dvr import KNOWN_VENDORS, MAX_CHANNEL, STREAMS, read_channels, stream_path
from .offer import Offer, Question
from .probing import Devices, Limits, ask_all
from .rtsp_target import Target

AUTO = "auto"
TRIED_CHANNELS = 4
"""So many channels tell the vendor: the first may have no camera."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams of a DVR: `channels` as numbers and ranges, or all that exist up to `max_channel`."""

    vendor: str = AUTO
    channels: Sequence[int | str] | None = None
    max_channel: int = 16
    streams: Sequence[str] = STREAMS
    template: str | None = None

    def numbers(self) -> list[int]:
        """Return the channels to ask for; raises ValueError."""
        if self.channels:
            return read_channels(self.channels)
        if not 1 <= self.max_channel <= MAX_CHANNEL:
            raise ValueError(f"max_channel is {self.max_channel}, it must be 1 to {MAX_CHANNEL}")
        return list(range(1, self.max_channel + 1))


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found; `vendor` is None where `auto` found no paths that the DVR answers."""

    vendor: str | None
    offers: tuple[Offer, ...]
    devices: Devices = field(default_factory=dict)


def survey(target: Target, wanted: Wanted, limits: Limits) -> Survey:
    """Ask for the streams; those that were not named and do not exist are left out. Raises ValueError."""
    devices: Devices = {}
    until = time.monotonic() + limits.total_timeout_s
    vendor: str | None = wanted.vendor
    if vendor == AUTO:
        vendor = find_vendor(target, wanted, limits, devices, until)
    spelling = vendor or KNOWN_VENDORS[0]
    numbers = wanted.numbers()
    template = wanted.template if spelling == "generic" or wanted.vendor != AUTO else None
    asked = questions(target, spelling, numbers, wanted.streams, template)
    offers = ask_all(asked, limits, devices, until)
    if vendor is None:
        offers = tuple(_of_no_vendor(offer, target) for offer in offers)
    if not wanted.channels:
        existing = tuple(offer for offer in offers if offer.error != "not_found")
        offers = existing or offers[:1]  # that no channel exists has to be seen, too
    return Survey(vendor, offers, devices)


def questions(
    target: Target, vendor: str, channels: Sequence[int], streams: Sequence[str], template: str | None
) -> list[Question]:
    """Return the streams of a DVR, by channel; raises ValueError."""
    return [
        Question(f"{channel} {stream}", target, stream_path(vendor, channel, stream, template), channel, stream)
        for channel in channels
        for stream in streams
    ]


def find_vendor(target: Target, wanted: Wanted, limits: Limits, devices: Devices, until: float) -> str | None:
    """Return the first vendor whose paths the DVR answers for one of its first channels, or None.

    With a template, `generic` comes first. What is learnt of the DVR is in `devices`.
    """
    vendors = (*(["generic"] if wanted.template else []), *KNOWN_VENDORS)
    numbers = wanted.numbers()[:TRIED_CHANNELS]
    plain = replace(limits, receive_s=0.0)
    asked = {
        vendor: questions(target, vendor, numbers, STREAMS[:1], wanted.template if vendor == "generic" else None)
        for vendor in vendors
    }
    offers = ask_all([question for vendor in vendors for question in asked[vendor]], plain, devices, until)
    answered = {offer.question for offer in offers if offer.error in (None, "no_video")}
    return next((vendor for vendor in vendors if answered.intersection(asked[vendor])), None)


def _of_no_vendor(offer: Offer, target: Target) -> Offer:
    """Say what to do about a DVR that answers no paths that are known."""
    if offer.error != "not_found":
        return offer
    known = " nor ".join(KNOWN_VENDORS)
    text = f"{target.authority} answers the paths of neither {known}: give vendor generic and a path_template."
    return replace(offer, message=text)
