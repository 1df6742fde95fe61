"""What the stories of faults share."""

from collections.abc import Iterator

import pytest

from support import mortals


@pytest.fixture
def no_defects(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Hold that nothing was logged that has a traceback: what the world does is no defect."""
    yield
    logged = caplog.get_records("setup") + caplog.get_records("call")
    assert [record.getMessage() for record in logged if record.exc_info] == []


@pytest.fixture
def processes() -> Iterator[mortals.Mortals]:
    """Give processes that migrate, and end a migration, until they are killed."""
    with mortals.Mortals("support.exporting:work") as processes:
        yield processes
