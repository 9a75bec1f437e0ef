"""The HDD monitor as a process: the loop and the pruner in threads, HTTP in the main one."""

import logging
import signal
import threading

from waitress.server import create_server

from cllmh_node import log, systemd
from cllmh_node.config import ConfigError
from cllmh_node.hdd_monitor.app import create_app
from cllmh_node.hdd_monitor.config import HddMonitorConfig, check_listen
from cllmh_node.hdd_monitor.monitor import Monitor

logger = logging.getLogger(__name__)

HTTP_THREADS = 4


def serve(config: HddMonitorConfig, listen: str | None = None) -> None:
    """Run until SIGTERM or SIGINT. `listen` is HOST:PORT instead of what is configured.

    Raises ConfigError when it cannot listen there.

    systemd hears that the service is alive from the loop alone: an API that still answers would be no comfort when
    nobody looks at the disk any more. A prune that takes long does not keep the loop.
    """
    listen = listen or config.listen
    monitor = Monitor(config)
    app = create_app(config, monitor)
    try:
        if listen:
            server = create_server(app, threads=HTTP_THREADS, ident="", listen=check_listen(listen))
        else:
            server = create_server(
                app, threads=HTTP_THREADS, ident="", unix_socket=str(config.socket), unix_socket_perms="660"
            )
    except (OSError, ValueError) as error:  # ValueError: no such port, or waitress finds no such host
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise ConfigError(f"{listen or config.socket}: cannot be listened on: {why}") from error
    stop = threading.Event()
    loop = threading.Thread(
        target=monitor.run, args=(stop, lambda: systemd.notify("WATCHDOG=1")), name="disk", daemon=True
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    loop.start()
    systemd.notify("READY=1")
    log.event(logger, "hdd_monitor_started", path=config.recordings_dir, listen=listen or config.socket)
    try:
        server.run()  # ends by the SystemExit that the signal raises
    finally:
        systemd.notify("STOPPING=1")
        stop.set()
        monitor.wake()
        loop.join(timeout=60)


def _end(*_: object) -> None:
    raise SystemExit(0)
