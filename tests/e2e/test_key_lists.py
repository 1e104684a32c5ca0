"""Lists of keys, deleted keys and versions: pages, items, order, and what happens meanwhile."""
import concurrent.futures
import uuid

import pytest

from test_keys import DAY, DELETED, check_attributes, create, fails, walk


@pytest.fixture
def name():
    return "l-" + uuid.uuid4().hex[:12]


@pytest.fixture(scope="module")
def many(pool):
    """57 keys with one prefix, 31 of them deleted ones."""
    prefix = "m" + uuid.uuid4().hex[:8]
    names = [f"{prefix}-{i}" for i in range(57)]
    with concurrent.futures.ThreadPoolExecutor(4) as ex:
        list(ex.map(lambda n: pool.call("POST", f"/keys/{n}/create", {"kty": "EC"}, session=new_session()), names))
    for n in names[26:]:
        pool.ok("DELETE", f"/keys/{n}")
    return prefix, set(names[:26]), set(names[26:])


def new_session():
    import requests
    s = requests.Session()
    s.trust_env = False
    return s


def of(items, prefix, field="kid"):
    return [i[field].rsplit("/", 1)[1] for i in items if f"/{prefix}-" in i[field]]


@pytest.mark.parametrize("path,field", [("/keys", "kid"), ("/deletedkeys", "recoveryId")])
@pytest.mark.parametrize("size", [None, 1, 7, 25])
def test_paging(pool, many, path, field, size):
    prefix, active, deleted = many
    query = f"?maxresults={size}" if size else ""
    items = walk(pool, path + query)
    found = [i[field] for i in items]
    assert len(found) == len(set(found))
    assert set(of(items, prefix, field)) == (active if path == "/keys" else deleted)
    names = [f.rsplit("/", 1)[1].lower() for f in found]
    assert names == sorted(names), "one order, whatever the page size"
    first = pool.ok("GET", path + query)
    assert len(first["value"]) == min(size or 25, len(items))
    assert ("nextLink" in first) == (len(items) > (size or 25))
    if "nextLink" in first:
        assert first["nextLink"].endswith(f"&maxresults={size or 25}")


def test_items_of_the_lists(pool, many):
    prefix, active, deleted = many
    n = sorted(active)[0]
    pool.ok("PATCH", f"/keys/{n}/", {"tags": {"a": "b"}, "attributes": {"exp": 4102444800}})
    items = {i["kid"]: i for i in walk(pool, "/keys")}
    item = items[f"{pool.pool_url}/keys/{n}"]
    bundle = pool.ok("GET", f"/keys/{n}")
    assert item == {"attributes": bundle["attributes"], "kid": f"{pool.pool_url}/keys/{n}", "tags": {"a": "b"}}
    check_attributes(item["attributes"], exp=4102444800)
    bare = items[f"{pool.pool_url}/keys/{sorted(active)[1]}"]
    assert set(bare) == {"attributes", "kid"}
    gone = sorted(deleted)[0]
    item = next(i for i in walk(pool, "/deletedkeys") if i["kid"] == f"{pool.pool_url}/keys/{gone}")
    assert set(item) == {"attributes", "kid"} | DELETED
    assert item["recoveryId"] == f"{pool.pool_url}/deletedkeys/{gone}"
    assert item["scheduledPurgeDate"] == item["deletedDate"] + 90 * DAY


def test_a_page_survives_changes_before_it(pool, many):
    """Keys made and deleted while a client pages: those that were there all the time come once."""
    prefix, active, _ = many
    page = pool.ok("GET", "/keys?maxresults=3")
    items = page["value"]
    for step in range(1000):
        if "nextLink" not in page:
            break
        if step < 5:
            n = f"a{prefix}x{step}-0"
            create(pool, n)
            pool.ok("DELETE", f"/keys/{n}")
            pool.ok("DELETE", f"/deletedkeys/{n}")
        page = pool.ok("GET", page["nextLink"].removeprefix(pool.pool_url), api=None)
        items += page["value"]
    assert sorted(of(items, prefix)) == sorted(active)


def test_next_link_in_other_spellings(pool, many):
    link = pool.ok("GET", "/keys?maxresults=2")["nextLink"].removeprefix(pool.pool_url)
    expect = pool.ok("GET", link, api=None)
    assert pool.ok("GET", link.replace("$", "%24"), api=None) == expect
    assert pool.ok("GET", link.replace("api-version=7.6", "api-version=2025-07-01"), api=None)["value"] == expect["value"]
    assert "api-version=2025-07-01" in pool.ok("GET", "/keys?maxresults=2", api="2025-07-01")["nextLink"]


@pytest.mark.parametrize("path", ["/keys", "/deletedkeys", "/keys/{n}/versions"])
@pytest.mark.parametrize("bad", ["0", "26", "x", "-1", "1.0", "100", "%2B5", "1e1", "0x5", "99999999999999999999"])
def test_bad_page_sizes(pool, name, path, bad):
    fails(pool, "GET", path.format(n=name) + f"?maxresults={bad}", status=400, code="BadParameter",
          text="Query parameter maxresults must be between 1 and 25.")


@pytest.mark.parametrize("path", ["/keys", "/deletedkeys", "/keys/{n}/versions"])
@pytest.mark.parametrize("bad", ["!", "AA", "%00", "A" * 600, "YWJjX2RlZg", "_w"])
def test_bad_skip_tokens(pool, name, path, bad):
    create(pool, name)
    r = pool.call("GET", path.format(n=name) + f"?$skiptoken={bad}")
    assert (r.status_code, pool.error(r)[0]) == (400, "BadParameter")


def test_versions(pool, name):
    made = [create(pool, name) for _ in range(30)]
    kids = [m["key"]["kid"] for m in made]
    items = walk(pool, f"/keys/{name}/versions")
    assert [i["kid"] for i in items] == kids, "creation order"
    assert all(set(i) == {"attributes", "kid"} for i in items)
    assert [i["attributes"] for i in items] == [m["attributes"] for m in made]
    for size in (1, 4, 25):
        assert [i["kid"] for i in walk(pool, f"/keys/{name}/versions?maxresults={size}")] == kids
    first = pool.ok("GET", f"/keys/{name}/versions")
    assert len(first["value"]) == 25 and "nextLink" in first


def test_versions_of_a_missing_key(pool, name):
    assert pool.ok("GET", f"/keys/{name}/versions") == {"value": []}
    create(pool, name)
    pool.ok("DELETE", f"/keys/{name}")
    assert pool.ok("GET", f"/keys/{name}/versions") == {"value": []}


def test_names_ignore_case_and_keep_the_first_spelling(pool, name):
    shown = name.upper()
    first = create(pool, shown)
    assert f"/keys/{shown}/" in first["key"]["kid"]
    second = create(pool, name.lower())
    assert f"/keys/{shown}/" in second["key"]["kid"]
    assert len(pool.ok("GET", f"/keys/{name.title()}/versions")["value"]) == 2
    assert pool.ok("GET", f"/keys/{name}") == second
    listed = [i["kid"] for i in walk(pool, "/keys") if i["kid"].lower().endswith(name)]
    assert listed == [f"{pool.pool_url}/keys/{shown}"]
