"""What the stores hold of the log lines that a node took over, hour by hour."""

from typing import Literal, Self

from pydantic import BaseModel, Field

from cllmh_hub.contract.times import UtcTime

StoreName = Literal["loki", "elasticsearch"]
HourState = Literal["complete", "missing", "expired", "unproven", "open"]


class IdsAnswer(BaseModel):
    """Consecutive ids, as they stand in the store (`f9aa28aa@0000000000000fa0`)."""

    first: str
    last: str
    count: int


class NodeHourAnswer(BaseModel):
    """The lines that one node took over in one hour, its own and those of its devices."""

    site: str
    node: str = Field(description="The host id of its ids where nothing names it.")
    hour: UtcTime = Field(description="The beginning of the hour.")
    state: HourState = Field(
        description="`complete`: the node has stated what it took in all of the hour, and the store has each of these "
        "lines. `missing`: it has not. `expired`: the same, but retention has begun to delete. `open`: the node's "
        "statement has not come yet. `unproven`: it has later statements, but none about all of this hour."
    )
    stated: int = Field(description="Lines that the node says it took.")
    stored: int = Field(description="How many of them the store has.")
    ids: list[IdsAnswer] = Field(description="What was stated. Numbers between ranges were never given to a line.")
    missing: list[IdsAnswer] = Field(description="What of it the store does not have.")
    missing_count: int = Field(description="Of all ranges, also where `missing` was cut.")
    doubled: list[IdsAnswer] = Field(description="Ids that more than one line has.")
    doubled_count: int = Field(description="Lines too many.")
    unstated: int = Field(description="Lines received in the hour that the node did not state (after a power cut).")


class CompletenessAnswer(BaseModel):
    """Hours of nodes, by node and hour."""

    items: list[NodeHourAnswer]
    unreadable: int = Field(description="Lines and statements that no node of ours writes so.")
    asked_at: UtcTime
    next: UtcTime | None = Field(description="Ask again with `from` set to this; null when the whole span is here.")

    def of_node(self, node: str) -> Self:
        """Return what concerns one node."""
        return self.model_copy(update={"items": [item for item in self.items if item.node == node]})
