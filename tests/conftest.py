import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import apicheck  # noqa: E402
import keyhold  # noqa: E402

keyhold.Pool.on_answer = staticmethod(apicheck.check)


@pytest.fixture(scope="session")
def pool():
    """An activated pool; the administrator also has Crypto User and Crypto Officer at "/"."""
    p = keyhold.Pool()
    try:
        p.start()
        for role in (keyhold.CRYPTO_USER, keyhold.CRYPTO_OFFICER):
            r = p.assign(role, p.env["KEYHOLD_ADMIN_OID"])
            assert r.status_code == 201, r.text
        yield p
    finally:
        p.stop()
