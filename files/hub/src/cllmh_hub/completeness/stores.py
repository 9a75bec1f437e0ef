"""The stores that can be asked for the proof."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import get_args

from cllmh_hub.completeness.loki_pages import LokiPages
from cllmh_hub.completeness.pages import Pages
from cllmh_hub.config import HubConfig, Site
from cllmh_hub.contract.completeness import StoreName
from cllmh_hub.errors import ApiError
from cllmh_hub.loki import Loki

STORES: tuple[StoreName, ...] = get_args(StoreName)


@contextmanager
def pages_of(store: StoreName, site: Site, config: HubConfig, loki: Loki) -> Iterator[Pages]:
    """Open the pages of a site's lines in a store; raise ApiError where it can prove nothing."""
    if store == "loki":
        yield LokiPages(loki, site.name)
        return
    if config.elasticsearch is None:
        raise ApiError(400, "store_unknown", "This hub has no Elasticsearch (elasticsearch_enabled); ask Loki.")
    for node in site.nodes:
        # What a node states is all that it took, whichever store it goes to.
        if node.elasticsearch_severity != "debug":
            raise ApiError(
                400,
                "store_has_a_part",
                f"Elasticsearch gets the lines of node {node.name} from {node.elasticsearch_severity} up only, so it "
                f"cannot prove that none is missing: ask Loki, or set syslog_ng_elasticsearch_severity: debug.",
            )
    # Elasticsearch's client takes a second to load, for which nobody else waits.
    from cllmh_hub.completeness.elasticsearch_pages import ElasticsearchPages

    with closing(ElasticsearchPages(config.elasticsearch, site.name)) as pages:
        yield pages
