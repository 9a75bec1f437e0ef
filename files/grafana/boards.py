"""The dashboards: fleet, one site, logs by severity and device, camera gaps beside the router's lines."""

from grafana_foundation_sdk.builders import dashboard
from parts import (
    KINDS,
    LINES,
    SEVERE,
    SEVERITIES,
    bars,
    choice,
    lines,
    new,
    number,
    query,
    ranking,
    rows,
    site,
    text,
)

# The recorder's line when a camera's gap begins, with its cause, and when it ends, with its seconds.
_LOST = f'{{{LINES}, kind="node"}} |= "event=camera_lost " | logfmt camera, cause'
_RETURNED = f'{{{LINES}, kind="node"}} |= "event=camera_returned " | logfmt camera, seconds'
_TROUBLE = (
    '|~ "event=(disk_failed|disk_short|disk_dying|disk_unusable|index_damaged|shard_ended|shard_stuck|overload) "'
)


def fleet() -> dashboard.Dashboard:
    """Return the overview of all sites."""
    return (
        new("CLLMH fleet", "cllmh-fleet", "All sites: what they send, what is wrong, which cameras were lost.")
        .with_variable(site(multi=True))
        .with_panel(
            number(
                "Sites that sent lines",
                query(f"count(sum by (site) (count_over_time({{{LINES}}}[$__range])))", over="instant"),
            )
        )
        .with_panel(number("Lines", query(f"sum(count_over_time({{{LINES}}}[$__range]))", over="instant")))
        .with_panel(
            number("Errors and worse", query(f"sum(count_over_time({{{LINES}, {SEVERE}}}[$__range]))", over="instant"))
        )
        .with_panel(number("Cameras lost", query(f"sum(count_over_time({_LOST} [$__range]))", over="instant")))
        .with_panel(bars("Lines by site", query(f"sum by (site) (count_over_time({{{LINES}}}[$__auto]))", "{{site}}")))
        .with_panel(
            bars(
                "Errors and worse by site",
                query(f"sum by (site) (count_over_time({{{LINES}, {SEVERE}}}[$__auto]))", "{{site}}"),
            )
        )
        .with_panel(
            ranking(
                "Devices with most errors",
                query(
                    f"topk(10, sum by (site, kind, host) (count_over_time({{{LINES}, {SEVERE}}}[$__range])))",
                    "{{site}} {{kind}} {{host}}",
                    over="instant",
                ),
            )
        )
        .with_panel(
            ranking(
                "Time without video, by camera",
                query(
                    f"topk(10, sum by (site, camera) (sum_over_time({_RETURNED} | unwrap seconds [$__range])))",
                    "{{site}} {{camera}}",
                    over="instant",
                ),
                unit="s",
            )
        )
        .with_panel(lines("Disks and recorders in trouble", f'{{{LINES}, kind="node"}} {_TROUBLE}'))
    )


def one_site() -> dashboard.Dashboard:
    """Return all of one site."""
    return (
        new("CLLMH site", "cllmh-site", "One site: its lines by device and severity, and what its devices say.")
        .with_variable(site(multi=False))
        .with_panel(
            bars("Lines by device", query(f"sum by (kind) (count_over_time({{{LINES}}}[$__auto]))", "{{kind}}"))
        )
        .with_panel(
            bars(
                "Warnings and worse by severity",
                query(
                    f'sum by (severity) (count_over_time({{{LINES}, severity!~"notice|info|debug"}}[$__auto]))',
                    "{{severity}}",
                ),
            )
        )
        .with_panel(
            bars(
                "Clips closed by camera",
                query(
                    f'sum by (camera) (count_over_time({{{LINES}, kind="node"}} |= "event=clip_closed" | logfmt camera '
                    "[$__auto]))",
                    "{{camera}}",
                ),
            )
        )
        .with_panel(
            bars(
                "Cameras lost by cause",
                query(f"sum by (camera, cause) (count_over_time({_LOST} [$__auto]))", "{{camera}} {{cause}}"),
            )
        )
        .with_panel(lines("Router", f'{{{LINES}, kind="router"}}', span=12))
        .with_panel(lines("DVR", f'{{{LINES}, kind="dvr"}}', span=12))
        .with_panel(lines("Node: warnings and worse", f'{{{LINES}, kind="node", severity!~"notice|info|debug"}}'))
    )


def logs_by_severity() -> dashboard.Dashboard:
    """Return the search through all lines."""
    # In backticks: `:regex` puts backslashes, which between double quotes would be escapes of LogQL.
    chosen = f'{{{LINES}, kind=~"$kind", severity=~"$severity"}} | host=~`(?i).*${{device:regex}}.*`'
    found = f"{chosen} |~ `(?i)${{search:regex}}`"
    return (
        new("CLLMH logs", "cllmh-logs", "Lines by severity and device; device and text are parts of words.", hours=6)
        .with_variable(site(multi=True))
        .with_variable(choice("kind", "Kind", KINDS))
        .with_variable(choice("severity", "Severity", SEVERITIES))
        .with_variable(text("device", "Device", "A part of the device's name or address; all when empty."))
        .with_variable(text("search", "Text", "A part of the line; all when empty."))
        .with_panel(
            bars("By severity", query(f"sum by (severity) (count_over_time({found} [$__auto]))", "{{severity}}"))
        )
        .with_panel(
            bars(
                "By device",
                query(f"topk(15, sum by (site, host) (count_over_time({found} [$__auto])))", "{{site}} {{host}}"),
            )
        )
        .with_panel(lines("Lines", found, height=20))
    )


def camera_gaps() -> dashboard.Dashboard:
    """Return the losses of cameras, and what the routers said at the time."""
    joined = (
        f'{{{LINES}, kind=~"node|router"}} | logfmt event, camera | kind="router" or event=~"camera_(lost|returned)"'
    )
    return (
        new("CLLMH camera gaps", "cllmh-gaps", "When cameras were lost, for how long, and what the router said then.")
        .with_variable(site(multi=True))
        .with_panel(
            bars(
                "Cameras lost",
                query(f"sum by (site, camera) (count_over_time({_LOST} [$__auto]))", "{{site}} {{camera}}"),
            )
        )
        .with_panel(
            bars(
                "Router: warnings and worse, links up and down",
                query(
                    f'sum by (site) (count_over_time({{{LINES}, kind="router"}} '
                    '| severity=~"emerg|alert|crit|err|warning" or topics=~".*interface.*" [$__auto]))',
                    "{{site}}",
                ),
            )
        )
        .with_panel(
            rows(
                "By camera",
                query(
                    f"sum by (site, camera) (sum_over_time({_RETURNED} | unwrap seconds [$__range]))",
                    over="instant",
                    ref="seconds",
                ),
                query(f"sum by (site, camera) (count_over_time({_LOST} [$__range]))", over="instant", ref="times"),
                description="Seconds of the gaps that ended in this time, and how often the camera was lost.",
            )
        )
        .with_panel(
            rows(
                "By cause",
                query(f"sum by (site, cause) (count_over_time({_LOST} [$__range]))", over="instant"),
            )
        )
        .with_panel(
            lines(
                "Cameras and router, in the order of time",
                joined,
                height=20,
                description="Look first at the router's lines between a camera's loss and its return.",
            )
        )
    )


ALL = {"fleet": fleet, "site": one_site, "logs": logs_by_severity, "camera_gaps": camera_gaps}
"""File name without `.json` -> the dashboard."""
