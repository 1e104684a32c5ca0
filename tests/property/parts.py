"""Words and shapes that all parts of the model use."""
import base64
import dataclasses

from template import Hole, new_id

CIPHER, SIGNS = {"encrypt", "decrypt", "wrapKey", "unwrapKey"}, {"sign", "verify"}
DEFAULT_OPS = {"RSA-HSM": CIPHER | SIGNS, "EC-HSM": SIGNS, "oct-HSM": CIPHER | SIGNS | {"deriveKey"}}
HMAC_OPS = SIGNS | {"deriveKey"}
STORED = {"RSA": "RSA-HSM", "EC": "EC-HSM", "oct": "oct-HSM", "AES": "oct-HSM"}
WIDTH = {"P-256": 43, "P-256K": 43, "P-384": 64, "P-521": 88}


class Refused(Exception):
    def __init__(self, status, code, about=None):
        super().__init__(status, code)
        self.status, self.code, self.about = status, code, about


@dataclasses.dataclass
class Answer:
    status: int
    body: object = None          # a template; of a refusal: None
    code: str = None             # of a refusal
    about: str = None            # what the text of a refusal must contain
    effect: object = None        # called with what the server chose
    or_else: tuple = ()          # other statuses that are as good, when nothing says which; then without a body

    def commit(self, bound):
        if self.effect:
            self.effect(bound)


@dataclasses.dataclass
class Version:
    id: str
    kty: str
    crv: str
    bits: int
    ops: set
    enabled: bool
    nbf: int
    exp: int
    tags: dict
    created: int
    updated: int
    public: dict
    material: object     # equal for versions with the same key inside
    release: str = None  # the release policy of an exportable key, as it is shown
    immutable: bool = False


@dataclasses.dataclass
class Key:
    name: str
    versions: list
    deleted: tuple = None    # (deletedDate, scheduledPurgeDate)
    policy: tuple = None     # (name in ROTATION, created, updated)

    @property
    def canonical(self):
        return self.name.lower()


def require(condition, status=400, code="BadParameter", about=None):
    if not condition:
        raise Refused(status, code, about)


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64u(value):
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (ValueError, TypeError):
        return None


def blob(name, length):
    """Bytes of the server's choice."""
    def take(value):
        data = unb64u(value)
        return data if data is not None and len(data) == length and "=" not in value else None
    return Hole(name, take, lambda: b64u((new_id() * (length // 32 + 1)).encode()[:length]))
