"""The directory and the logins with the Azure CLI: people, applications, groups, and what their tokens are good for."""
import base64
import hashlib
import html
import json
import re
import subprocess
import urllib.parse
import uuid

import pytest
import requests

import keyhold

PASSWORD = "Correct-Horse-7"
DOMAIN = "keyhold.localhost"


@pytest.fixture(scope="module")
def pool():
    p = keyhold.Pool(name="people")
    try:
        yield p.start()
    finally:
        p.stop()


@pytest.fixture(scope="module")
def az(pool, make_az):
    az = make_az(pool.client_env())
    env = pool.env
    az("login", "--service-principal", "-u", env["KEYHOLD_CLIENT_ID"], "-p", env["KEYHOLD_CLIENT_SECRET"], "-t",
       env["KEYHOLD_TENANT"])
    return az


class Graph:
    """Microsoft Graph without a client program."""

    def __init__(self, pool, token=None):
        self.pool = pool
        self.token = token or pool.token(resource=pool.url)

    def ask(self, method, path, body=None):
        return requests.request(method, self.pool.url + "/v1.0" + path, json=body, verify=self.pool.ca, timeout=30,
                                headers={"Authorization": f"Bearer {self.token}"}, proxies={"https": None})

    def ok(self, method, path, body=None):
        r = self.ask(method, path, body)
        assert r.status_code < 300, f"{method} {path}: {r.status_code} {r.text}"
        return r.json() if r.content else None

    def fails(self, method, path, body=None):
        r = self.ask(method, path, body)
        assert r.status_code >= 400, r.text
        return r.status_code, r.json()["error"]["code"]


@pytest.fixture(scope="module")
def graph(pool):
    return Graph(pool)


def token(pool, want=200, **form):
    r = requests.post(f"{pool.url}/{pool.env['KEYHOLD_TENANT']}/oauth2/v2.0/token", data=form, verify=pool.ca, timeout=30,
                      proxies={"https": None})
    assert r.status_code == want, r.text
    return r.json()


AZ_CLIENT = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"


def password_form(pool, user, password, resource=None):
    return {"grant_type": "password", "client_id": AZ_CLIENT, "username": user, "password": password,
            "scope": (resource or f"https://managedhsm.localhost:{pool.port}") + "/.default offline_access openid profile"}


def claims(jwt):
    text = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


@pytest.fixture(scope="module")
def alice(az):
    return az("ad", "user", "create", "--display-name", "Alice", "--password", PASSWORD, "--user-principal-name",
              f"alice@{DOMAIN}")


# ---- people

def test_users(az, alice, pool):
    assert alice["userPrincipalName"] == f"alice@{DOMAIN}" and uuid.UUID(alice["id"])
    assert az("ad", "user", "show", "--id", f"ALICE@{DOMAIN}")["id"] == alice["id"]
    assert az("ad", "user", "show", "--id", alice["id"])["displayName"] == "Alice"
    assert [u["id"] for u in az("ad", "user", "list", "--upn", f"alice@{DOMAIN}")] == [alice["id"]]
    assert {"Alice", "Keyhold Administrator"} <= {u["displayName"] for u in az("ad", "user", "list")}
    az("ad", "user", "update", "--id", alice["id"], "--display-name", "Alice A.")
    assert [u["displayName"] for u in az("ad", "user", "list", "--display-name", "alice")] == ["Alice A."]
    bob = az("ad", "user", "create", "--display-name", "Bob", "--password", PASSWORD, "--user-principal-name", f"bob@{DOMAIN}")
    t = token(pool, **password_form(pool, f"bob@{DOMAIN}", PASSWORD))
    assert claims(t["access_token"])["oid"] == bob["id"]
    az("ad", "user", "delete", "--id", f"bob@{DOMAIN}")
    assert "does not exist" in az.fails("ad", "user", "show", "--id", bob["id"])[1]
    assert token(pool, 400, **password_form(pool, f"bob@{DOMAIN}", PASSWORD))["error_codes"] == [50126]
    refresh = {"grant_type": "refresh_token", "client_id": AZ_CLIENT, "refresh_token": t["refresh_token"]}
    assert token(pool, 400, **refresh)["error"] == "invalid_grant"


def test_bad_users(graph, alice):
    good = {"accountEnabled": True, "displayName": "x", "mailNickname": "x", "userPrincipalName": f"x@{DOMAIN}",
            "passwordProfile": {"password": PASSWORD}}
    for change in ({"displayName": ""}, {"displayName": 1}, {"accountEnabled": "yes"}, {"userPrincipalName": "x@example.com"},
                   {"userPrincipalName": f"a b@{DOMAIN}"}, {"userPrincipalName": f"ALICE@{DOMAIN}"},
                   {"passwordProfile": {"password": "short"}}, {"passwordProfile": {"password": "alllowercaseletters"}},
                   {"passwordProfile": {}}, {"mailNickname": None}):
        assert graph.fails("POST", "/users", {**good, **change}) == (400, "Request_BadRequest"), change
    assert graph.ask("POST", "/users", [1]).status_code == 400
    first = graph.ok("GET", "/users?$filter=startswith(displayName,'Keyhold')")["value"][0]["id"]
    assert graph.fails("DELETE", f"/users/{first}") == (403, "Authorization_RequestDenied")
    assert graph.fails("PATCH", f"/users/{first}", {"passwordProfile": {"password": PASSWORD}})[0] == 403


def test_only_administrators_change_the_directory(pool, alice):
    guest = Graph(pool, pool.token(pool.env["KEYHOLD_GUEST_CLIENT_ID"], pool.env["KEYHOLD_GUEST_CLIENT_SECRET"], pool.url))
    assert guest.ok("GET", f"/users/{alice['id']}")["id"] == alice["id"]
    for method, path in (("POST", "/users"), ("PATCH", f"/users/{alice['id']}"), ("DELETE", f"/users/{alice['id']}"),
                         ("POST", "/groups"), ("POST", "/applications"), ("POST", "/servicePrincipals")):
        assert guest.fails(method, path, {} if method != "DELETE" else None) == (403, "Authorization_RequestDenied")


# ---- groups

def test_groups(az, alice, pool):
    inner = az("ad", "group", "create", "--display-name", "Key users", "--mail-nickname", "keyusers")
    outer = az("ad", "group", "create", "--display-name", "Everybody", "--mail-nickname", "everybody", "--description", "all")
    assert az("ad", "group", "show", "--group", "Key users")["id"] == inner["id"]
    az("ad", "group", "member", "add", "--group", "Key users", "--member-id", alice["id"])
    az("ad", "group", "member", "add", "--group", outer["id"], "--member-id", inner["id"])
    assert "already exist" in az.fails("ad", "group", "member", "add", "--group", inner["id"], "--member-id", alice["id"])[1]
    assert [m["id"] for m in az("ad", "group", "member", "list", "--group", inner["id"])] == [alice["id"]]
    for group, member, want in ((inner, alice, True), (outer, alice, True), (inner, outer, False)):
        assert az("ad", "group", "member", "check", "--group", group["id"], "--member-id", member["id"])["value"] is want
    assert set(az("ad", "user", "get-member-groups", "--id", alice["id"], "--query", "[].id")) == {inner["id"], outer["id"]}
    t = token(pool, **password_form(pool, f"alice@{DOMAIN}", PASSWORD))["access_token"]
    assert set(claims(t)["groups"]) == {inner["id"], outer["id"]}
    # a role that only the outer group has
    assert pool.call("GET", "/keys", token=t).status_code == 403
    assert pool.assign(keyhold.CRYPTO_USER, outer["id"]).status_code == 201
    assert pool.call("GET", "/keys", token=t).status_code == 200
    az("ad", "group", "member", "remove", "--group", inner["id"], "--member-id", alice["id"])
    t = token(pool, **password_form(pool, f"alice@{DOMAIN}", PASSWORD))["access_token"]
    assert "groups" not in claims(t) and pool.call("GET", "/keys", token=t).status_code == 403
    az("ad", "group", "delete", "--group", outer["id"])
    assert outer["id"] not in [g["id"] for g in az("ad", "group", "list")]


def test_more_groups_than_a_token_holds(pool, graph):
    """The token says where to ask; the pool does not ask, so those groups give nothing, and a role of one's own does."""
    me = graph.ok("POST", "/users", {"accountEnabled": True, "displayName": "Carol", "mailNickname": "carol",
                                     "userPrincipalName": f"carol@{DOMAIN}", "passwordProfile": {"password": PASSWORD}})
    groups = []
    for i in range(201):
        g = graph.ok("POST", "/groups", {"displayName": f"g{i}", "mailNickname": f"g{i}", "mailEnabled": False,
                                         "securityEnabled": True})
        graph.ok("POST", f"/groups/{g['id']}/members/$ref", {"@odata.id": f"{pool.url}/v1.0/directoryObjects/{me['id']}"})
        groups.append(g["id"])
        if i == 199:
            full = token(pool, **password_form(pool, f"carol@{DOMAIN}", PASSWORD))["access_token"]
            assert set(claims(full)["groups"]) == set(groups)
            assert pool.assign(keyhold.CRYPTO_USER, groups[199]).status_code == 201
            assert pool.call("GET", "/keys", token=full).status_code == 200
    over = token(pool, **password_form(pool, f"carol@{DOMAIN}", PASSWORD))["access_token"]
    c = claims(over)
    assert "groups" not in c and c["_claim_names"] == {"groups": "src1"}
    endpoint = c["_claim_sources"]["src1"]["endpoint"]
    assert endpoint.endswith(f"/v1.0/users/{me['id']}/getMemberObjects")
    asked = graph.ok("POST", endpoint.split("/v1.0")[1], {"securityEnabledOnly": False})["value"]
    assert set(asked) == set(groups)
    assert pool.call("GET", "/keys", token=over).status_code == 403
    assert pool.assign(keyhold.CRYPTO_USER, me["id"]).status_code == 201
    assert pool.call("GET", "/keys", token=over).status_code == 200
    # pages
    seen, url = [], "/groups?$top=50&$filter=startswith(displayName,'g')"
    while url:
        page = graph.ok("GET", url)
        assert len(page["value"]) <= 50
        seen += [g["id"] for g in page["value"]]
        url = page.get("@odata.nextLink", "").partition("/v1.0")[2]
    assert len(seen) == len(set(seen)) == 201 and set(seen) == set(groups)


# ---- applications

def test_applications(az, pool, graph):
    app = az("ad", "app", "create", "--display-name", "robot")
    assert az("ad", "app", "show", "--id", app["appId"])["id"] == app["id"]
    assert "AADSTS700016" in str(token(pool, 400, grant_type="client_credentials", client_id=app["appId"], client_secret="x",
                                       scope="https://h/.default"))
    sp = az("ad", "sp", "create", "--id", app["appId"])
    assert az("ad", "sp", "show", "--id", app["appId"])["id"] == sp["id"]
    assert sp["id"] in [s["id"] for s in az("ad", "sp", "list", "--display-name", "robot")]
    one = az("ad", "app", "credential", "reset", "--id", app["appId"])["password"]
    two = az("ad", "app", "credential", "reset", "--id", app["appId"], "--append", "--display-name", "second")["password"]
    three = az("ad", "sp", "credential", "reset", "--id", app["appId"], "--append")["password"]
    listed = az("ad", "app", "credential", "list", "--id", app["appId"])
    assert len(listed) == 2 and two[:3] in {c["hint"] for c in listed} and one not in str(listed)
    form = {"grant_type": "client_credentials", "client_id": app["appId"], "scope": "https://h/.default"}
    for secret in (one, two, three):
        assert claims(token(pool, client_secret=secret, **form)["access_token"])["oid"] == sp["id"]
    old = graph.ok("POST", f"/applications/{app['id']}/addPassword",
                   {"passwordCredential": {"displayName": "old", "endDateTime": "2020-01-01T00:00:00Z",
                                           "startDateTime": "2019-01-01T00:00:00.5Z"}})
    assert token(pool, 401, client_secret=old["secretText"], **form)["error_codes"] == [7000222]
    second = next(c["keyId"] for c in listed if c["displayName"] == "second")
    az("ad", "app", "credential", "delete", "--id", app["appId"], "--key-id", second)
    assert token(pool, 401, client_secret=two, **form)["error_codes"] == [7000215]
    az("ad", "app", "update", "--id", app["appId"], "--display-name", "robot 2")
    assert token(pool, client_secret=one, **form)
    az("ad", "app", "delete", "--id", app["appId"])
    assert token(pool, 400, client_secret=one, **form)["error_codes"] == [700016]
    assert az("ad", "sp", "list", "--filter", f"appId eq '{app['appId']}'") == []


def test_service_principal_with_a_certificate(az, pool, make_az, tmp_path):
    az = make_az({**az.env, "HOME": str(tmp_path)})  # the file with the key goes there
    az.env["AZURE_CONFIG_DIR"] = str(tmp_path / "azure")
    env = pool.env
    az("login", "--service-principal", "-u", env["KEYHOLD_CLIENT_ID"], "-p", env["KEYHOLD_CLIENT_SECRET"], "-t",
       env["KEYHOLD_TENANT"])
    made = az("ad", "sp", "create-for-rbac", "--name", "cert-robot", "--create-cert")
    pem = made["fileWithCertAndPrivateKey"]
    other = make_az(pool.client_env())
    other("login", "--service-principal", "-u", made["appId"], "--certificate", pem, "-t", made["tenant"],
          "--allow-no-subscriptions")
    got = other("account", "get-access-token", "--resource", f"https://managedhsm.localhost:{pool.port}")
    sp = az("ad", "sp", "show", "--id", made["appId"])
    assert claims(got["accessToken"])["oid"] == sp["id"]
    # another certificate in the place of the first: the old one is worth nothing
    new = az("ad", "app", "credential", "reset", "--id", made["appId"], "--create-cert")["fileWithCertAndPrivateKey"]
    other("account", "clear")
    text = other.fails("login", "--service-principal", "-u", made["appId"], "--certificate", pem, "-t", made["tenant"],
                       "--allow-no-subscriptions")[1]
    assert "AADSTS700027" in text
    other("login", "--service-principal", "-u", made["appId"], "--certificate", new, "-t", made["tenant"],
          "--allow-no-subscriptions")


def test_create_for_rbac_with_a_password(az, pool, make_az):
    made = az("ad", "sp", "create-for-rbac", "--name", "rbac-robot")
    other = make_az(pool.client_env())
    other("login", "--service-principal", "-u", made["appId"], "-p", made["password"], "-t", made["tenant"],
          "--allow-no-subscriptions")
    again = az("ad", "sp", "create-for-rbac", "--name", "rbac-robot")
    assert again["appId"] == made["appId"] and again["password"] != made["password"]


def test_assignee_by_name(az, alice, pool):
    made = az("keyvault", "role", "assignment", "create", "--hsm-name", "people", "--role", "Managed HSM Crypto Auditor",
              "--assignee", f"alice@{DOMAIN}", "--scope", "/keys")
    assert made["principalId"] == alice["id"]
    listed = az("keyvault", "role", "assignment", "list", "--hsm-name", "people", "--scope", "/keys", "--assignee",
                f"alice@{DOMAIN}")
    assert [a["principalName"] for a in listed] == [f"alice@{DOMAIN}"]


# ---- logins

def test_login_of_a_user(pool, make_az, alice):
    az = make_az(pool.client_env())
    az("login", "-u", f"alice@{DOMAIN}", "-p", PASSWORD, "--allow-no-subscriptions")
    assert az("ad", "signed-in-user", "show")["id"] == alice["id"]


def test_wrong_passwords_are_limited(pool, graph):
    graph.ok("POST", "/users", {"accountEnabled": True, "displayName": "Dave", "mailNickname": "dave",
                                "userPrincipalName": f"dave@{DOMAIN}", "passwordProfile": {"password": PASSWORD}})
    answers = {}
    for user in (f"dave@{DOMAIN}", f"nobody@{DOMAIN}"):
        answers[user] = [token(pool, 400, **password_form(pool, user, f"wrong {i}"))["error_codes"] for i in range(12)]
    assert answers[f"dave@{DOMAIN}"] == answers[f"nobody@{DOMAIN}"] == [[50126]] * 10 + [[50053]] * 2
    assert token(pool, 400, **password_form(pool, f"dave@{DOMAIN}", PASSWORD))["error_codes"] == [50053]


def test_disabled_user(pool, graph):
    u = graph.ok("POST", "/users", {"accountEnabled": True, "displayName": "Eve", "mailNickname": "eve",
                                    "userPrincipalName": f"eve@{DOMAIN}", "passwordProfile": {"password": PASSWORD}})
    t = token(pool, **password_form(pool, f"eve@{DOMAIN}", PASSWORD, pool.url))
    assert Graph(pool, t["access_token"]).ok("GET", "/me")["id"] == u["id"]
    graph.ok("PATCH", f"/users/{u['id']}", {"accountEnabled": False})
    assert token(pool, 400, **password_form(pool, f"eve@{DOMAIN}", PASSWORD))["error_codes"] == [50057]
    assert Graph(pool, t["access_token"]).ask("GET", "/me").status_code == 401
    graph.ok("PATCH", f"/users/{u['id']}", {"accountEnabled": True, "passwordProfile": {"password": PASSWORD + "!"}})
    refresh = {"grant_type": "refresh_token", "client_id": AZ_CLIENT, "refresh_token": t["refresh_token"]}
    assert token(pool, 400, **refresh)["error"] == "invalid_grant"
    assert token(pool, **password_form(pool, f"eve@{DOMAIN}", PASSWORD + "!"))


class Waiting:
    """`az login --use-device-code` until it shows its code."""

    def __init__(self, az):
        self.process = subprocess.Popen([az.exe, "login", "--use-device-code", "--allow-no-subscriptions", "-o", "json"],
                                        env=az.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        line = ""
        while "enter the code" not in line:
            line = self.process.stderr.readline()
            assert line, "az ended without showing a code"
        self.code = re.search(r"enter the code ([A-Z]+)", line)[1]

    def end(self):
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def test_device_code(pool, make_az, alice):
    az = make_az(pool.client_env())
    w = Waiting(az)
    assert "approved" in pool.cli("login", "approve", w.code, "--user", f"alice@{DOMAIN}").stdout
    status, _, err = w.end()
    assert status == 0, err
    assert az("ad", "signed-in-user", "show")["id"] == alice["id"]
    assert pool.cli("login", "approve", w.code, "--user", alice["id"], check=False).returncode == 3
    other = make_az(pool.client_env())
    w = Waiting(other)
    pool.cli("login", "approve", w.code, "--user", alice["id"], "--decline")
    status, _, err = w.end()
    assert status != 0 and "declined" in err


def device(pool, client=AZ_CLIENT):
    r = requests.post(f"{pool.url}/adfs/oauth2/devicecode", data={"client_id": client, "scope": "https://h/.default"},
                      verify=pool.ca, timeout=30, proxies={"https": None})
    assert r.status_code == 200, r.text
    return r.json()


def page(pool, method, path, session=None, **kw):
    return (session or requests).request(method, pool.url + path, verify=pool.ca, timeout=30, proxies={"https": None},
                                         allow_redirects=False, **kw)


def test_device_code_on_the_page(pool, alice):
    d = device(pool)
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": AZ_CLIENT,
            "device_code": d["device_code"]}
    assert token(pool, 400, **form)["error"] == "authorization_pending"
    assert token(pool, 400, **form)["error"] == "slow_down"
    assert token(pool, 400, **{**form, "device_code": d["device_code"][:-1] + "_"})["error"] == "bad_verification_code"
    shown = page(pool, "GET", "/devicelogin", params={"code": d["user_code"] + '"><script>'})
    assert shown.status_code == 200 and "<script>" not in shown.text and "frame-ancestors 'none'" in str(shown.headers)
    said = {"code": d["user_code"].lower(), "username": f"alice@{DOMAIN}", "password": "wrong"}
    assert page(pool, "POST", "/devicelogin", data=said).status_code == 400
    assert token(pool, 400, **form)["error"] in ("authorization_pending", "slow_down")
    said["password"] = PASSWORD
    assert page(pool, "POST", "/devicelogin", data={**said, "code": "BBBBBBBBB"}).status_code == 400
    assert page(pool, "POST", "/devicelogin", data=said).status_code == 200
    assert claims(token(pool, **form)["access_token"])["oid"] == alice["id"]
    assert token(pool, 400, **form)["error"] == "bad_verification_code"  # once


def test_authorization_code(pool, alice, az):
    """What a browser does for an app: the page, the form, the redirect; then the app's own request."""
    verifier = "v" * 50
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    ask = {"client_id": AZ_CLIENT, "redirect_uri": "http://localhost:8400/", "state": "a b&c", "response_type": "code",
           "code_challenge": challenge, "code_challenge_method": "S256", "scope": "openid"}
    path = f"/{pool.env['KEYHOLD_TENANT']}/oauth2/v2.0/authorize"
    shown = page(pool, "GET", path, params=ask)
    assert shown.status_code == 200
    hidden = {m[1]: html.unescape(m[2]) for m in re.finditer(r'type="hidden" name="(\w+)" value="([^"]*)"', shown.text)}
    assert hidden["state"] == "a b&c"
    for change in ({"redirect_uri": "https://evil.example/"}, {"redirect_uri": "http://localhost.evil.example/"},
                   {"code_challenge": ""}, {"code_challenge_method": "plain"}, {"response_type": "token"},
                   {"client_id": str(uuid.uuid4())}):
        r = page(pool, "GET", path, params={**ask, **change})
        assert r.status_code == 400 and "Location" not in r.headers, change
    r = page(pool, "POST", path, data={**hidden, "username": f"alice@{DOMAIN}", "password": "wrong"})
    assert r.status_code == 400 and "Location" not in r.headers
    r = page(pool, "POST", path, data={**hidden, "username": f"alice@{DOMAIN}", "password": PASSWORD})
    assert r.status_code == 303
    to = urllib.parse.urlparse(r.headers["Location"])
    got = dict(urllib.parse.parse_qsl(to.query))
    assert to.netloc == "localhost:8400" and got["state"] == "a b&c"
    form = {"grant_type": "authorization_code", "client_id": AZ_CLIENT, "code": got["code"], "code_verifier": verifier,
            "redirect_uri": ask["redirect_uri"], "scope": "https://h/.default openid offline_access"}
    assert token(pool, 400, **{**form, "code_verifier": "w" * 50})["error_codes"] == [501481]
    assert token(pool, 400, **{**form, "redirect_uri": "http://localhost:8401/"})["error_codes"] == [9002313]
    assert token(pool, 400, **{**form, "code": got["code"][:-2] + "AA"})["error_codes"] == [9002313]
    t = token(pool, **form)
    assert claims(t["access_token"])["oid"] == claims(t["id_token"])["oid"] == alice["id"]
    assert token(pool, 400, **form)["error_codes"] == [54005]


def test_the_directory_survives_a_restart(pool, graph, alice):
    pool.down()
    pool.up()
    assert graph.ok("GET", f"/users/{alice['id']}")["userPrincipalName"] == f"alice@{DOMAIN}"
    assert token(pool, **password_form(pool, f"alice@{DOMAIN}", PASSWORD))
