"""The network of a pool: two virtual networks as network namespaces, private endpoints, rules for the public way. The
control plane sets it, the gateway enforces it, the audit shows it."""
import contextlib
import json
import os
import socket
import sys
import time

import pytest
import requests

import keyhold
from test_hosts import has_namespaces, ip

pytestmark = pytest.mark.skipif(not has_namespaces(), reason="needs root, ip(8) and namespaces that it can enter")

INSIDE = "10.77.0.4"  # of the endpoint in its network
ARM_API = "2024-11-01"

ASK = """
import sys, urllib3
ip, port, name, ca, token, path = sys.argv[1:]
p = urllib3.HTTPSConnectionPool(ip, int(port), ca_certs=ca, server_hostname=name, assert_hostname=name, retries=False, timeout=5)
try:
    print(p.request("GET", path, headers={"Host": f"{name}:{port}", "Authorization": "Bearer " + token}).status)
except urllib3.exceptions.NewConnectionError:
    print("refused")
except (urllib3.exceptions.SSLError, urllib3.exceptions.ProtocolError):
    print("cut")
"""


class Networks:
    """Network A: a namespace with the endpoint's address on its device vnet0, and a client's namespace on that device.
    Network B: a namespace whose way to that address leads through another device of A's namespace."""

    def __init__(self):
        self.tag = f"khn{os.getpid() % 10000:04d}"
        self.a, self.client, self.b = (f"{self.tag}{x}" for x in ("a", "c", "b"))

    def __enter__(self):
        for name in (self.a, self.client, self.b):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        self.wire("vnet0", f"{INSIDE}/24", self.client, "10.77.0.10/24")
        self.wire("ext0", "10.78.0.1/24", self.b, "10.78.0.10/24")
        ip("-n", self.b, "route", "add", "10.77.0.0/24", "via", "10.78.0.1")
        return self

    def wire(self, device, address, other, other_address):
        ip("-n", self.a, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", other)
        ip("-n", self.a, "addr", "add", address, "dev", device)
        ip("-n", self.a, "link", "set", device, "up")
        ip("-n", other, "addr", "add", other_address, "dev", "eth0")
        ip("-n", other, "link", "set", "eth0", "up")

    def __exit__(self, *exc):
        for name in (self.a, self.client, self.b):
            ip("netns", "del", name, check=False)

    def ask(self, space, pool, path="/keys", token=None):
        r = ip("netns", "exec", space, sys.executable, "-c", ASK, INSIDE, pool.port, f"{pool.name}.managedhsm.localhost",
               pool.ca, token or pool.token(), f"{path}?api-version={keyhold.API}")
        assert r.returncode == 0, r.stderr
        return r.stdout.strip()


class Fenced:
    def __init__(self, pool, networks):
        self.pool, self.n = pool, networks
        self.group = f"/subscriptions/{self.arm('GET', '/subscriptions')['value'][0]['subscriptionId']}/resourceGroups/keyhold"
        self.hsm = f"{self.group}/providers/Microsoft.KeyVault/managedHSMs/{pool.name}"
        self.net = f"{self.group}/providers/Microsoft.Network"
        self.location = self.arm("GET", self.hsm)["location"]

    def arm(self, method, path, body=None, want=None):
        token = self.pool.token(resource=self.pool.url)
        r = requests.request(method, f"{self.pool.url}{path}?api-version={ARM_API}", json=body, verify=self.pool.ca,
                             headers={"Authorization": f"Bearer {token}"}, proxies={"https": None}, timeout=20)
        assert r.status_code == want if want else r.status_code < 300, f"{method} {path}: {r.status_code} {r.text}"
        return r.json() if r.content else None

    def wait(self, what, timeout=15):
        end = time.monotonic() + timeout
        while not (seen := what()):
            assert time.monotonic() < end, f"{seen}\n{self.pool.logs()}"
            time.sleep(0.05)
        return seen

    def answers(self, want):
        end = time.monotonic() + 15
        while (seen := self.n.ask(self.n.client, self.pool)) != want:
            assert time.monotonic() < end, f"{seen}\n{self.pool.logs()}"
            time.sleep(0.05)

    def settled(self, path):
        return self.wait(lambda: (r := self.arm("GET", path))["properties"]["provisioningState"] == "Succeeded" and r)

    def set(self, **properties):
        self.arm("PATCH", self.hsm, {"properties": properties})
        self.settled(self.hsm)

    def acls(self, *rules, action="Deny", bypass="None"):
        return {"bypass": bypass, "defaultAction": action, "ipRules": [{"value": r} for r in rules]}

    def open(self):
        self.set(publicNetworkAccess="Enabled", networkAcls=self.acls(action="Allow"))

    def endpoint(self, name, list="privateLinkServiceConnections", **tags):
        self.arm("PUT", f"{self.net}/privateEndpoints/{name}", {"location": self.location, "tags": tags, "properties": {
            "subnet": {"id": f"{self.net}/virtualNetworks/vnet/subnets/sub"},
            list: [{"name": name, "properties": {"privateLinkServiceId": self.hsm, "groupIds": ["managedhsm"]}}]}})
        return self.settled(f"{self.net}/privateEndpoints/{name}")

    def decide(self, name, status):
        path = f"{self.hsm}/privateEndpointConnections/{name}"
        self.arm("PUT", path, {"properties": {"privateLinkServiceConnectionState": {"status": status}}})
        self.settled(path)

    def refusal(self, token=None):
        r = self.pool.call("GET", "/keys", token=token)
        e = r.json()["error"]
        assert (r.status_code, e["code"]) == (403, "Forbidden"), r.text
        message = e["message"].removesuffix(f" (Activity ID: {r.headers['x-ms-request-id']})")
        return r.headers["x-ms-request-id"], e["innererror"], message

    def audited(self, request_id):
        def find():
            for f in self.pool.home.glob("partition-*/audit/audit.jsonl"):
                for line in f.read_text().splitlines():
                    if request_id in line:
                        return json.loads(line)
        return self.wait(find)


@pytest.fixture(scope="module")
def fenced():
    with Networks() as n, keyhold.Pool(name="fenced") as pool:
        assert pool.assign(keyhold.CRYPTO_USER, pool.env["KEYHOLD_ADMIN_OID"], "/keys").status_code == 201
        f = Fenced(pool, n)
        f.arm("PUT", f"{f.net}/virtualNetworks/vnet", {
            "location": f.location, "tags": {"keyhold-netns": n.a, "keyhold-device": "vnet0"},
            "properties": {"addressSpace": {"addressPrefixes": ["10.77.0.0/16"]},
                           "subnets": [{"name": "sub", "properties": {"addressPrefix": "10.77.0.0/24"}}]}})
        yield f


WAY = ("Public network access is disabled and request is not from a trusted service nor via an approved private link.")


def test_private_endpoint(fenced):
    """Approved: reached from its network, from nowhere else, whatever the public way is. Rejected: from nowhere."""
    f, n = fenced, fenced.n
    assert n.ask(n.client, f.pool) == "refused"
    e = f.endpoint("pe1", **{"keyhold-address": INSIDE})
    assert e["properties"]["customDnsConfigs"][0]["ipAddresses"] == [INSIDE]
    f.answers("200")
    assert n.ask(n.b, f.pool) == "refused"  # by another device of the same host
    f.set(publicNetworkAccess="Disabled")
    assert n.ask(n.client, f.pool) == "200"
    assert n.ask(n.b, f.pool) == "refused"
    request, inner, message = f.refusal()
    assert (inner, message) == ({"code": "ForbiddenByConnection"}, WAY)
    entry = f.audited(request)
    assert entry["callerIpAddress"] == "127.0.0.1" and entry["httpStatusCode"] == 403
    assert entry["resultSignature"] == "Forbidden" and entry["resultDescription"] == WAY
    assert entry["operationName"] == "KeyList" and f.pool.env["KEYHOLD_ADMIN_OID"] in entry["identity"]
    f.decide("pe1", "Rejected")
    f.answers("refused")
    f.decide("pe1", "Approved")
    f.answers("200")
    f.arm("DELETE", f"{f.net}/privateEndpoints/pe1")
    f.answers("refused")
    f.open()
    assert f.pool.call("GET", "/keys").status_code == 200


def test_manual_connection_waits(fenced):
    f, n = fenced, fenced.n
    f.endpoint("pe2", "manualPrivateLinkServiceConnections", **{"keyhold-address": INSIDE})
    assert f.arm("GET", f"{f.hsm}/privateEndpointConnections/pe2")["properties"]["privateLinkServiceConnectionState"][
        "status"] == "Pending"
    assert n.ask(n.client, f.pool) == "refused"
    f.decide("pe2", "Approved")
    f.answers("200")
    f.arm("DELETE", f"{f.net}/privateEndpoints/pe2")


def test_restart_of_door_and_node(fenced):
    """The listeners come back with a new door, and with a new node."""
    f, n = fenced, fenced.n
    f.endpoint("pe3", **{"keyhold-address": INSIDE})
    f.answers("200")
    os.kill(f.pool.pids()["door"], 9)
    f.answers("200")
    f.pool.down()
    f.pool.up()
    f.answers("200")
    f.arm("DELETE", f"{f.net}/privateEndpoints/pe3")


def test_address_rules(fenced):
    f = fenced
    f.set(networkAcls=f.acls("203.0.113.0/24"))
    request, inner, message = f.refusal()
    assert inner == {"code": "ForbiddenByFirewall"}
    assert message == "Client address (127.0.0.1) is not authorized and caller is not a trusted service."
    entry = f.audited(request)
    assert entry["callerIpAddress"] == "127.0.0.1" and entry["httpStatusCode"] == 403
    assert entry["resultDescription"] == "Client address is not authorized and caller is not a trusted service."
    assert f.pool.call("GET", "/keys", token="junk").status_code == 403  # before anything else is told
    r = f.pool.call("GET", "/keys", token="")
    assert (r.status_code, r.text) == (401, "OK")
    f.set(networkAcls=f.acls("203.0.113.0/24", "127.0.0.1"))
    assert f.arm("GET", f.hsm)["properties"]["networkAcls"]["ipRules"][1] == {"value": "127.0.0.1/32"}
    assert f.pool.call("GET", "/keys").status_code == 200
    f.arm("PATCH", f.hsm, {"properties": {"networkAcls": f.acls("localhost")}}, want=400)
    f.open()


def test_trusted_caller(fenced):
    """A claim of a trusted identity opens the way to the boundary, and only a good token leads further."""
    f = fenced
    f.set(publicNetworkAccess="Disabled", networkAcls=f.acls(bypass="AzureServices"))
    rules = json.loads((f.pool.home / "network.json").read_text())
    (oid,) = rules["bypassCallers"]
    rules["bypassCallers"] = [oid, f.pool.env["KEYHOLD_ADMIN_OID"]]
    command(f, rules)
    assert f.pool.call("GET", "/keys").status_code == 200
    assert f.refusal(f.pool.guest_token())[1] == {"code": "ForbiddenByConnection"}
    head, claims, signature = f.pool.token().split(".")
    forged = f"{head}.{claims}.{signature[:-6]}AAAAAA"
    assert f.pool.call("GET", "/keys", token=forged).status_code == 401
    f.open()


def command(f, rules, answer="ok"):
    (f.pool.home / "network.json").write_text(rules if isinstance(rules, str) else json.dumps(rules))
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(f.pool.home / "run/gateway-0.sock.cmd"))
        s.sendall(b"network\n")
        with s.makefile() as lines:
            assert lines.readline().startswith(answer)


def test_rules_that_cannot_be_read_close_the_pool(fenced):
    f = fenced
    command(f, '{"publicNetworkAccess":', "error: ")
    assert f.refusal()[1] == {"code": "ForbiddenByConnection"}
    f.pool.down()
    with contextlib.suppress(AssertionError):
        f.pool.up()
    assert f.refusal()[1] == {"code": "ForbiddenByConnection"}
    command(f, "{}")
    assert f.pool.call("GET", "/keys").status_code == 200


def test_zone_files(fenced, tmp_path):
    f = fenced
    zone = f"{f.net}/privateDnsZones/privatelink.managedhsm.azure.net"
    f.arm("PUT", zone, {"location": "global"})
    f.endpoint("pe4", **{"keyhold-address": INSIDE})
    f.arm("PUT", f"{f.net}/privateEndpoints/pe4/privateDnsZoneGroups/default", {"properties": {"privateDnsZoneConfigs": [
        {"name": "z", "properties": {"privateDnsZoneId": zone}}]}})

    def shown(form):
        return f.pool.cli("dns", "--format", form, check=False).stdout

    f.wait(lambda: "host-record=fenced.managedhsm.azure.net,10.77.0.4,10" in shown("dnsmasq"))
    assert 'local-data: "fenced.privatelink.managedhsm.azure.net. 10 IN A 10.77.0.4"' in shown("unbound")
    assert "\nfenced 10 IN A 10.77.0.4\n" in shown("bind")
    assert "\nfenced.managedhsm.azure.net 10 IN A 10.77.0.4\n" in shown("rpz")
    f.pool.cli("dns", "--format", "bind", "--file", tmp_path / "zone")
    assert (tmp_path / "zone").read_text() == shown("bind")
    f.arm("DELETE", f"{f.net}/privateEndpoints/pe4")
    f.wait(lambda: "10.77.0.4" not in shown("dnsmasq"))
    assert f.pool.cli("dns", "--format", "hosts", check=False).returncode == 2
