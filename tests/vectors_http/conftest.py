import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import hsm as client  # noqa: E402
import keyhold  # noqa: E402
import table as tables  # noqa: E402

REPORT = keyhold.ROOT / "build/vectors/report.txt"
TABLE = tables.Table()


@pytest.fixture(scope="session")
def hsm():
    """An activated pool of its own: some thousand keys would be in the way of other tests."""
    with keyhold.Pool(name="vectors") as pool:
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            assert pool.assign(role, pool.env["KEYHOLD_ADMIN_OID"]).status_code == 201
        made = client.Hsm(pool)
        yield made
        made.workers.shutdown()


@pytest.fixture(scope="session")
def table():
    yield TABLE
    REPORT.write_text("\n".join(TABLE.lines()) + "\n")
    if tables.RECORD:
        TABLE.record()


def pytest_terminal_summary(terminalreporter):
    if TABLE.rows:
        terminalreporter.section("published vectors")
        for line in TABLE.lines():
            terminalreporter.write_line(line)
