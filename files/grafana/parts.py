"""What the dashboards share: the data source, variables and panels."""

from typing import Literal

from grafana_foundation_sdk.builders import bargauge, dashboard, logs, loki, stat, table, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, StackingConfig, VizLegendOptions
from grafana_foundation_sdk.models.common import (
    DataSourceRef,
    GraphDrawStyle,
    LegendPlacement,
    LogsSortOrder,
    StackingMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataTransformerConfig,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

LOKI = DataSourceRef(type_val="loki", uid="cllmh-loki")
"""As role grafana provisions it."""

LINES = 'job="cctv", site=~"$site"'
"""The stream selector of all lines of the chosen sites."""

SEVERE = 'severity=~"emerg|alert|crit|err"'
SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
KINDS = ("node", "dvr", "router")


def new(title: str, uid: str, description: str, *, hours: int = 24) -> dashboard.Dashboard:
    """Return an empty dashboard."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["cllmh"])
        .timezone("browser")
        .time(f"now-{hours}h", "now")
        .refresh("1m")
        .readonly()
        .link(
            dashboard.DashboardLink("CLLMH")
            .tags(["cllmh"])
            .type(DashboardLinkType.DASHBOARDS)
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )


def site(*, multi: bool) -> dashboard.QueryVariable:
    """Return the variable `site`, whose values Loki knows."""
    variable = (
        dashboard.QueryVariable("site")
        .label("Site")
        .datasource(LOKI)
        .query({"refId": "sites", "type": 1, "label": "site", "stream": '{job="cctv"}'})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi)
    )
    # `.+` and not `.*`: LogQL wants at least one matcher that cannot be empty.
    return variable.include_all(True).all_value(".+") if multi else variable


def choice(name: str, label: str, values: tuple[str, ...]) -> dashboard.CustomVariable:
    """Return a variable with fixed values, of which any number may be chosen."""
    every = VariableOption(text="All", value="$__all", selected=True)
    return (
        dashboard.CustomVariable(name)
        .label(label)
        .values(",".join(values))
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(every)
    )


def text(name: str, label: str, description: str) -> dashboard.TextBoxVariable:
    """Return a variable that people type; it begins empty."""
    return (
        dashboard.TextBoxVariable(name)
        .label(label)
        .description(description)
        .default_value("")
        .hide(VariableHide.DONT_HIDE)
    )


def query(
    expr: str, legend: str = "", *, over: Literal["range", "instant"] = "range", ref: str = "A"
) -> loki.Dataquery:
    """Return one LogQL query: over time, or one value for the whole of the chosen time."""
    made = loki.Dataquery().expr(expr).query_type(over).ref_id(ref).datasource(LOKI)
    return made.legend_format(legend) if legend else made


def bars(
    title: str, *queries: loki.Dataquery, span: int = 12, unit: str = "short", description: str = ""
) -> timeseries.Panel:
    """Return a panel of stacked bars over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(LOKI)
        .unit(unit)
        .draw_style(GraphDrawStyle.BARS)
        .fill_opacity(60)
        .stacking(StackingConfig().mode(StackingMode.NORMAL))
        .legend(VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM))
        .span(span)
        .height(8)
    )
    return panel.targets(list(queries))


def number(title: str, one: loki.Dataquery, *, unit: str = "short", description: str = "") -> stat.Panel:
    """Return a panel with one number."""
    panel = (
        stat.Panel().title(title).description(description).datasource(LOKI).unit(unit).no_value("0").span(6).height(4)
    )
    return panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"])).with_target(one)


def ranking(title: str, one: loki.Dataquery, *, span: int = 12, unit: str = "short") -> bargauge.Panel:
    """Return a panel with a bar for each series."""
    panel = bargauge.Panel().title(title).datasource(LOKI).unit(unit).span(span).height(8)
    return panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"])).with_target(one)


def rows(title: str, *queries: loki.Dataquery, span: int = 12, description: str = "") -> table.Panel:
    """Return a table of instant queries, joined by their labels."""
    panel = table.Panel().title(title).description(description).datasource(LOKI).span(span).height(8)
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    return panel.targets(list(queries))


def lines(title: str, expr: str, *, height: int = 12, span: int = 24, description: str = "") -> logs.Panel:
    """Return a panel with log lines, newest first."""
    return (
        logs.Panel()
        .title(title)
        .description(description)
        .datasource(LOKI)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(LogsSortOrder.DESCENDING)
        .span(span)
        .height(height)
        .with_target(query(expr).max_lines(1000))
    )
