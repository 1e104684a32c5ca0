"""Many clients at once: every answer is its own caller's, and nothing acknowledged is lost."""
import concurrent.futures
import threading
import uuid

import requests

import keyhold

CLIENTS = 8
ROUNDS = 12


class Client:
    def __init__(self, pool, number):
        self.pool, self.number = pool, number
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.proxies = {"https": f"http://127.0.0.1:{pool.port}"}
        self.session.verify = pool.ca
        self.session.headers["Authorization"] = f"Bearer {pool.token()}"

    def call(self, method, path, body=None, expect=200):
        r = self.session.request(method, f"{self.pool.pool_url}{path}?api-version=7.6", json=body,
                                 timeout=60)
        assert r.status_code == expect, f"{method} {path}: {r.status_code} {r.text}"
        return r.json() if r.content else None


def run_all(pool, work):
    start = threading.Barrier(CLIENTS)

    def one(number):
        client = Client(pool, number)
        start.wait(30)
        return work(client)
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as threads:
        return list(threads.map(one, range(CLIENTS)))


def test_versions_made_at_once_are_all_there(pool):
    def work(client):
        return [client.call("POST", "/keys/together/create", {"kty": "oct-HSM", "key_size": 256})
                ["key"]["kid"] for _ in range(ROUNDS)]
    made = [kid for kids in run_all(pool, work) for kid in kids]
    assert len(set(made)) == CLIENTS * ROUNDS
    listed, path = [], f"{pool.pool_url}/keys/together/versions?api-version=7.6"
    while path:
        page = pool.ok("GET", path.removeprefix(pool.pool_url), api=None)
        listed += [v["kid"] for v in page["value"]]
        path = page.get("nextLink")
    assert sorted(listed) == sorted(made)


def test_each_client_gets_its_own_answers(pool):
    for n in range(CLIENTS):
        pool.ok("POST", f"/keys/mine-{n}/create", {"kty": "oct-HSM", "key_size": 256})

    def work(client):
        for i in range(ROUNDS * 8):
            value = f"{client.number:04}{i:04}" * 4
            wrapped = client.call("POST", f"/keys/mine-{client.number}/wrapkey",
                                  {"alg": "A256KW", "value": value})
            assert f"/keys/mine-{client.number}/" in wrapped["kid"]
            back = client.call("POST", f"/keys/mine-{client.number}/unwrapkey",
                               {"alg": "A256KW", "value": wrapped["value"]})
            assert back["value"] == value
    run_all(pool, work)


def test_mixed_writes_and_reads(pool):
    pool.ok("POST", "/keys/read-by-all/create", {"kty": "oct-HSM", "key_size": 256})

    def work(client):
        name = f"busy-{client.number}"
        for i in range(ROUNDS):
            client.call("POST", f"/keys/{name}/create", {"kty": "oct-HSM", "tags": {"i": str(i)}})
            client.call("PATCH", f"/keys/{name}", {"attributes": {"enabled": i % 2 == 0}})
            got = client.call("GET", f"/keys/{name}")
            assert got["attributes"]["enabled"] is (i % 2 == 0) and got["tags"] == {"i": str(i)}
            client.call("GET", "/keys")
            client.call("POST", "/keys/read-by-all/encrypt", {"alg": "A256GCM", "value": "AAAA"})
            client.call("DELETE", f"/keys/{name}")
            client.call("GET", f"/keys/{name}", expect=404)
            if i % 2:
                client.call("POST", f"/deletedkeys/{name}/recover")
                client.call("DELETE", f"/keys/{name}")
            client.call("DELETE", f"/deletedkeys/{name}", expect=204)
    run_all(pool, work)
    assert not [k for k in pool.ok("GET", "/deletedkeys")["value"] if "/busy-" in k["kid"]]


def test_a_revoked_role_is_refused_from_then_on(pool):
    """Eight clients at once: allowed from the answer of the PUT to that of the DELETE, never else."""
    pool.ok("POST", "/keys/contested/create", {"kty": "oct-HSM"})
    guest, definition = pool.guest_token(), keyhold.AUDITOR
    for _ in range(ROUNDS):
        name = str(uuid.uuid4())
        path = f"/keys/contested/providers/Microsoft.Authorization/roleAssignments/{name}"

        def read(client):
            client.session.headers["Authorization"] = f"Bearer {guest}"
            return client.session.get(f"{pool.pool_url}/keys/contested?api-version=7.6",
                                      timeout=60).status_code
        assert set(run_all(pool, read)) == {403}
        pool.ok("PUT", path, {"properties": {
            "roleDefinitionId": "Microsoft.KeyVault/providers/Microsoft.Authorization/"
                                f"roleDefinitions/{definition}",
            "principalId": pool.env["KEYHOLD_GUEST_OID"]}})
        assert set(run_all(pool, read)) == {200}
        pool.ok("DELETE", path)
    assert set(run_all(pool, read)) == {403}


def test_one_assignment_wins(pool):
    """The same role, principal and scope from everyone at once: exactly one is made."""
    def work(client):
        path = f"/keys/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
        r = client.session.put(f"{pool.pool_url}{path}?api-version=7.6", timeout=60, json={
            "properties": {
                "roleDefinitionId": "Microsoft.KeyVault/providers/Microsoft.Authorization/"
                                    f"roleDefinitions/{keyhold.AUDITOR}",
                "principalId": pool.env["KEYHOLD_GUEST_OID"]}})
        return r.status_code, path, r.text
    for _ in range(4):
        answers = run_all(pool, work)
        made = [path for status, path, _ in answers if status == 201]
        assert len(made) == 1, answers
        assert all("MatchingRoleAssignmentExists" in text
                   for status, _, text in answers if status != 201), answers
        pool.ok("DELETE", made[0])
