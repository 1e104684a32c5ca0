"""Short operations next to long ones: AES wraps at half of what the core can do, first alone, then while RSA-4096
signatures and the creation of RSA-4096 keys without prepared ones saturate the pools for slow operations."""
import os
import subprocess
import time

from rig import b64u, median

SECONDS, ROUNDS = 4, 3
LIMIT = 3.0


class Noise:
    """Two generators that keep the slow pools busy; they sleep between events: the measuring one needs the core."""

    def __init__(self, rig):
        sign = rig.request("POST", rig.kid_path("rsa-4096") + "/sign", {"alg": "RS256", "value": b64u(os.urandom(32))})
        make = rig.request("POST", "/keys/noise-########/create", {"kty": "RSA-HSM", "key_size": 4096})
        first = int(time.time()) % 10**8
        self.procs = [subprocess.Popen(rig.load_command(f, seconds=SECONDS + 3, connections=8, sleepy=True, first=first),
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                      for f in (sign, make)]
        time.sleep(1)

    def end(self):
        out = [p.communicate() for p in self.procs]
        # Creations that find the makers' queue full are told so (429): it is full all the same.
        if self.procs[0].returncode != 0 or (self.procs[1].returncode != 0 and "429" not in out[1][1]):
            raise RuntimeError(f"noise: {out}")


def measure(rig, say):
    file = rig.request("POST", rig.kid_path("aes") + "/wrapkey", {"alg": "A256KW", "value": b64u(os.urandom(32))})
    full = median([rig.load(file, seconds=1)["rate"] for _ in range(3)])
    idle, noisy = [], []
    for _ in range(ROUNDS):
        idle.append(rig.load(file, seconds=SECONDS, rate=full / 2))
        noise = Noise(rig)
        noisy.append(rig.load(file, seconds=SECONDS, rate=full / 2))
        noise.end()
        say(f"AES wrap at {full / 2:.0f}/s: p99 {idle[-1]['p99']} us alone, {noisy[-1]['p99']} us next to slow operations")
    a, b = median([r["p99"] for r in idle]), median([r["p99"] for r in noisy])
    return {"rate": full / 2, "idle": {k: median([r[k] for r in idle]) for k in ("p50", "p99")},
            "noisy": {k: median([r[k] for r in noisy]) for k in ("p50", "p99")}, "ratio": b / a, "limit": LIMIT}
