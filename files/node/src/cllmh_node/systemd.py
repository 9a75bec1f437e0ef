"""Telling systemd how a Type=notify service is, by its own protocol (sd_notify(3)); nothing happens elsewhere."""

import os
import socket


def notify(state: str) -> bool:
    """Send `state`, such as "READY=1", "WATCHDOG=1" or "STATUS=3 cameras", to systemd.

    Returns False when the process was not started by systemd as Type=notify.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):  # abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(state.encode(), address)
    return True


def watchdog_interval_s() -> float | None:
    """Return how often to send WATCHDOG=1, half of the unit's WatchdogSec, or None without a watchdog."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    timeout_us = os.environ.get("WATCHDOG_USEC")
    return int(timeout_us) / 2_000_000 if timeout_us else None
