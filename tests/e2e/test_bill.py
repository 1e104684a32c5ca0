"""keyhold plan and keyhold bill: sizing, the meter, the subscription's state."""
import json
import os
import pty
import subprocess
import time

import pytest

import keyhold


def plan(*args, status=0):
    r = subprocess.run([f"{keyhold.BIN}/keyhold", "plan", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert r.returncode == status, r.stderr
    return r.stdout if status == 0 else r.stderr


TWO = ["--regions", "southindia", "centralindia"]


@pytest.mark.parametrize("args,resources,total,optional", [
    ([*TWO, "--relation", "primary-dr"], 2, "4608.00", "2304.00"),
    ([*TWO, "--relation", "primary-dr", "--redundancy-required"], 2, "4608.00", "4608.00"),
    ([*TWO, "--relation", "active-active"], 1, "4608.00", "4608.00"),
    ([*TWO, "--relation", "independent"], 2, "4608.00", "4608.00"),
    (["--regions", "southindia"], 1, "2304.00", "2304.00"),
], ids=["dr-optional", "dr", "active-active", "independent", "single"])
def test_plan_relations(args, resources, total, optional):
    p = json.loads(plan(*args, "--json"))
    assert p["resources"] == resources and len(p["pools"]) == len([a for a in args if a.endswith("india")])
    assert p["monthlyCost"]["total"] == total
    assert p["monthlyCost"]["withoutOptional"] == optional
    assert [x["monthly"] for x in p["pools"]] == ["2304.00"] * len(p["pools"])


def test_plan_services_and_price_book(tmp_path):
    args = [*TWO, "--relation", "independent", "--sql-mi", "2", "1", "--domain-controllers", "self-hosted",
            "--services", "storage", "aks", "--rotation", "P90D", "--network", "peered", "--pilot", "--operations", "1000000"]
    p = json.loads(plan(*args, "-o", "json"))
    assert [x["keys"] for x in p["pools"]] == [5, 4]
    # 002: fixed; what 000 would add stands beside it, and both are explained
    assert p["monthlyCost"] == {"currency": "USD", "hours": 720, "fixed": "4608.00", "withoutOptional": "4608.00", "keys": "9.00",
                                "operations": "3.00", "fees": "beside", "total": "4608.00", "totalWithFees": "4620.00"}
    assert any("000" in n and "002" in n for n in p["priceNotes"])
    topics = {n["topic"] for n in p["notes"]}
    assert {"sql-mi", "domain controllers", "storage", "aks", "rotation", "network", "pilot"} <= topics
    text = plan(*args)
    assert "USD 4608.00 (720 hours), and 12.00 if keys" in text and "002 says" in text
    book = tmp_path / "book.json"
    book.write_text(json.dumps({"name": "own", "currency": "EUR", "fees": "charged",
                                "pool": {"hour": "0.000001", "minimumHours": 0, "monthHours": 730},
                                "keys": [{"type": "RSA-*", "month": "2"}]}))
    p = json.loads(plan(*args, "--price-book", str(book), "--json"))
    assert p["monthlyCost"]["fixed"] == "0.00146" and p["monthlyCost"]["total"] == "18.00146"
    book.write_text(book.read_text().replace('"0.000001"', "0.1"))
    assert "pool must have hour (a price as a string" in plan(*args, "--price-book", str(book), status=1)
    assert "cannot be read" in plan(*args, "--price-book", str(tmp_path / "none"), status=1)


@pytest.mark.parametrize("args,says", [
    ([], "--regions is needed"),
    (TWO, "--relation: with several regions"),
    ([*TWO, "--relation", "single"], "one region"),
    (["-l", "a", "--relation", "active-active"], "at least two"),
    (["-l", "a", "b", "c", "--relation", "active-active"], "exactly two"),
    (["-l", "a", "--redundancy-required"], "second one"),
    (["-l", "a", "--services", "teapot"], "none of sql-db storage"),
    (["-l", "a", "--sql-mi", "many"], "numbers from 0"),
    (["-l", "a", "--sql-mi", "1", "2"], "one number for each"),
    (["-l", "a", "--rotation", "P1D"], "28 days"),
    (["-l", "a", "--rotation", "soon"], "a duration"),
    (["-l", "a", "--key-type", "EC-P-256"], "RSA"),
])
def test_plan_refused(args, says):
    assert says in plan(*args, status=2)


def test_plan_questions_on_a_terminal():
    """The eight questions, answered at a terminal; an empty line takes what is offered."""
    master, slave = pty.openpty()
    p = subprocess.Popen([f"{keyhold.BIN}/keyhold", "plan", "--json"], stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.close(slave)
    os.write(master, b"southindia, centralindia\nactive-active\ntrue\nself-hosted\n1 1\nstorage\nP1Y\npeered\n\n")
    out, err = p.communicate(timeout=30)
    os.close(master)
    assert p.returncode == 0, err
    r = json.loads(out)
    assert r["relation"] == "active-active" and r["monthlyCost"]["total"] == "4608.00"
    assert [x["keys"] for x in r["pools"]] == [6, 6] and [x["roleAssignments"] for x in r["pools"]] == [3, 3]
    assert "every 365 days" in json.dumps(r["notes"])
    assert err.count("?") + err.count(":") >= 9


# ---- the bill of an installation

@pytest.fixture(scope="module")
def pool():
    p = keyhold.Pool(name="metered")
    try:
        p.start()
        yield p
    finally:
        p.stop()


def wait_for(what, seconds=40):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.5)


def bill(p, *args):
    return json.loads(p.cli("bill", "--json", *args).stdout)


def test_bill_of_the_first_pool(pool, tmp_path):
    b = bill(pool)
    assert [(x["pool"], x["state"], x["hours"], x["cost"]) for x in b["pools"]] == [("metered", "active", 24, "76.80")]
    assert b["total"]["total"] == "76.80" and b["regions"][0]["hours"] == 24
    assert any("000" in n and "002" in n for n in b["notes"])
    assert bill(pool, "--month", "2020-01")["pools"] == []
    text = pool.cli("bill").stdout
    assert "metered" in text and "total USD 76.80" in text and "002 says" in text
    book = tmp_path / "book.json"
    book.write_text(pool.cli("bill", "--show-price-book").stdout.replace('"3.20"', '"1.50"').replace("24", "1"))
    assert bill(pool, "--price-book", str(book))["total"]["total"] == "1.50"
    book.write_text("{}")
    r = pool.cli("bill", "--price-book", str(book), check=False)
    assert r.returncode == 1 and "name must be a text" in r.stderr
    r = pool.cli("bill", "--month", "May", check=False)
    assert r.returncode == 2 and "--month: YYYY-MM" in r.stderr


def test_keys_and_operations_are_seen(pool):
    """What the pool holds and does comes into the bill by itself, and keys still do when it is stopped."""
    for role in ("Managed HSM Crypto User", "Managed HSM Crypto Officer"):
        pool.cli("role", "assignment", "create", "--role", role, "--assignee", pool.env["KEYHOLD_ADMIN_OID"])
    pool.cli("key", "create", "--name", "rsa", "--kty", "RSA", "--size", "2048")
    pool.cli("key", "create", "--name", "ec", "--kty", "EC", "--curve", "P-256")

    def keys():
        return {k["type"]: k for k in bill(pool)["pools"][0]["keys"]}
    wait_for(lambda: {"RSA-2048", "EC-P-256"} <= keys().keys())
    assert float(keys()["RSA-2048"]["keyMonths"]) > 0
    assert bill(pool)["pools"][0]["operations"] > 0
    total = bill(pool)["total"]
    assert total["total"] == "76.80" and float(total["keys"]) > 0 and float(total["totalWithFees"]) > 76.8


def test_bill_goes_on_over_restarts(pool):
    before = bill(pool)["pools"][0]
    pool.down()
    pool.up()
    after = bill(pool)["pools"]
    assert [x["provisioned"] for x in after] == [before["provisioned"]]
    assert after[0]["operations"] >= before["operations"]
    assert [k["type"] for k in after[0]["keys"]] == [k["type"] for k in before["keys"]]


def test_a_disabled_subscription(pool, make_az):
    """The commands of document 002: list-deleted fails with its text, and nothing is purged until it is enabled."""
    az = make_az(pool.client_env())
    az("login", "--service-principal", "-u", pool.env["KEYHOLD_CLIENT_ID"], "-p", pool.env["KEYHOLD_CLIENT_SECRET"],
       "-t", pool.env["KEYHOLD_TENANT"])
    az("keyvault", "delete", "--hsm-name", "metered")
    assert [x["state"] for x in bill(pool)["pools"]] == ["deleted"]
    assert pool.cli("subscription", "set-state", "--state", "Disabled").stdout == "Disabled\n"
    assert pool.cli("subscription", "show").stdout == "Disabled\n"
    _, err = az.fails("keyvault", "list-deleted", "--resource-type", "hsm")
    assert "(ProviderError) Resource provider 'Microsoft.KeyVault' failed to return collection response for type 'deletedManagedHSMs'." in err
    assert "Code: ProviderError" in err
    _, err = az.fails("keyvault", "purge", "--hsm-name", "metered", "--location", "local")
    assert "ReadOnlyDisabledSubscription" in err
    _, err = az.fails("group", "create", "-n", "other", "-l", "local")
    assert "ReadOnlyDisabledSubscription" in err
    assert az("account", "list", "--refresh", "--all")[0]["state"] == "Disabled"
    assert [x["state"] for x in bill(pool)["pools"]] == ["deleted"], "the meter runs on"
    r = pool.cli("subscription", "set-state", "--state", "Asleep", check=False)
    assert r.returncode == 1 and "InvalidSubscriptionState" in r.stderr
    pool.cli("subscription", "set-state", "--state", "Enabled")
    assert [x["name"] for x in az("keyvault", "list-deleted", "--resource-type", "hsm")] == ["metered"]
    az("keyvault", "purge", "--hsm-name", "metered", "--location", "local")
    assert [(x["state"], x["hours"]) for x in bill(pool)["pools"]] == [("purged", 24)]
