"""The far end of the node's logs, for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.logs.harness import Receiver, self_signed


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def receiver(certificates: Path) -> Iterator[Receiver]:
    with Receiver(certificates) as running:
        yield running
