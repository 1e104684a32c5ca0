"""The sequences find what is wrong: every fault below, put into the model that plays the server, ends in a difference."""
import dataclasses

import pytest

import model_roles
from model import Model
from parts import Answer, Refused
from server import Fake
from template import Derived
from test_sequences import Difference, run


class DeletedKeysCanBeUsed(Model):
    def live(self, name):
        key = self.keys.get(name.lower())
        if key is None:
            raise Refused(404, "KeyNotFound", f"/keys/{name}")
        return key


class NamesHaveCase(Model):
    def live(self, name):
        key = super().live(name)
        if key.name != name:
            raise Refused(404, "KeyNotFound", f"/keys/{name}")
        return key


class RecoveryLosesTags(Model):
    def recover(self, who, name):
        answer = super().recover(who, name)
        self.gone(name).versions[0].tags = {}
        return answer


class PurgeKeepsVersions(Model):
    def purge(self, who, name):
        answer = super().purge(who, name)
        key = self.gone(name)
        answer.effect = lambda _: (self.keys.pop(key.canonical), self.old.update({key.canonical: key.versions}))
        return answer

    old = {}

    def list_versions(self, who, name, size=None, after=None):
        key = self.keys.get(name.lower())
        if key and key.canonical in self.old:
            key.versions[:0] = self.old.pop(key.canonical)
        return super().list_versions(who, name, size, after)


class UpdateTakesTheFirstVersion(Model):
    def update(self, who, name, version=None, **more):
        if version is None and name.lower() in self.keys:
            version = self.keys[name.lower()].versions[0].id
        return super().update(who, name, version, **more)


class DisabledKeysDecrypt(Model):
    def open(self, who, op, right, name, version, alg, value, iv=None, aad=None, tag=None):
        key = self.keys.get(name.lower())
        found = [v for v in key.versions if version in (None, v.id)] if key else []
        if found and found[-1].enabled is False:
            found[-1].enabled = None
        return super().open(who, op, right, name, version, alg, value, iv, aad, tag)

    def usable(self, who, op, right, name, version, alg):
        if op in ("decrypt", "unwrapKey"):
            key, v = self.version(name, version)
            if v.enabled is None:
                self.allow(who, f"keys/{right}/action", f"/keys/{name}")
                return key, v
        return super().usable(who, op, right, name, version, alg)


class EveryKeyOpens(Model):
    def open(self, who, op, right, name, version, alg, value, iv=None, aad=None, tag=None):
        key, v = self.usable(who, op, right, name, version, alg)
        for box in self.boxes:
            if box.value == value and self.fits(v, alg, op == "unwrapKey"):
                box.material = v.material
        return super().open(who, op, right, name, version, alg, value, iv, aad, tag)


class EverySignatureIsRight(Model):
    def verify(self, who, **a):
        answer = super().verify(who, **a)
        if answer.body:
            answer.body["value"] = True
        return answer


class KeyOpsDoNotCount(Model):
    def usable(self, who, op, right, name, version, alg):
        self.allow(who, f"keys/{right}/action", f"/keys/{name}")
        key, v = self.version(name, version)
        if v.enabled and op not in v.ops:
            return key, v
        return super().usable(who, op, right, name, version, alg)


class ExpiredKeysStillSign(Model):
    def usable(self, who, op, right, name, version, alg):
        key, v = None, None
        try:
            return super().usable(who, op, right, name, version, alg)
        except Refused as r:
            if r.code != "Forbidden":
                raise
            key, v = self.version(name, version)
            if v.enabled and op in v.ops:
                return key, v
            raise


class APageSkipsOne(Model):
    def page(self, entries, size, after):
        if after is not None:
            entries = [e for e in entries if e[0] > after][1:]
        return super().page(entries, size, after)


class DeletedRolesStillGrant(Model):
    def delete_definition(self, who, scope, guid):
        answer = super().delete_definition(who, scope, guid)
        answer.effect = lambda _: self.hidden.add(guid)
        return answer

    def __init__(self, *a):
        super().__init__(*a)
        self.hidden = set()

    def known_definition(self, guid):
        if guid in self.hidden:
            raise Refused(404, "RoleDefinitionNotFound")
        return super().known_definition(guid)

    def put_definition(self, who, scope, guid, **more):
        self.hidden.discard(guid)
        return super().put_definition(who, scope, guid, **more)


class ExceptionsInRolesDoNotCount(Model):
    def actions(self, role):
        found = set(super().actions(role))
        for p in self.definitions.get(role, {}).get("permissions", []):
            found |= {a.removeprefix(model_roles.PREFIX) for a in p["dataActions"]}
        return found


class RevocationIsForgotten(Model):
    def delete_assignment(self, who, scope, guid):
        answer = super().delete_assignment(who, scope, guid)
        answer.effect = None
        return answer


class ScopesDoNotMatter(Model):
    def allow(self, who, action, scope):
        if not any(p == who and action in self.actions(role) for role, p, _ in self.assignments.values()):
            super().allow(who, action, scope)


class AssignmentsMayRepeat(Model):
    def put_assignment(self, who, scope, guid, role, principal):
        try:
            return super().put_assignment(who, scope, guid, role, principal)
        except Refused as r:
            if r.code != "MatchingRoleAssignmentExists":
                raise
            return Answer(201, {}, effect=None)


class AnyScopeDeletes(Model):
    def delete_assignment(self, who, scope, guid):
        self.allow(who, "roleAssignments/delete/action", scope)
        at = self.assignments[guid][2] if guid in self.assignments else scope
        return super().delete_assignment(who, at, guid)


class SettingsAreReadByAll(Model):
    def get_settings(self, who):
        return Answer(200, {"settings": [self.setting_doc()]})


class RotationForgetsTheEnd(Model):
    def add_version(self, name, draft):
        return super().add_version(name, dataclasses.replace(draft, exp=None) if isinstance(draft.exp, Derived) else draft)


class RestoreReplaces(Model):
    def restore(self, who, value):
        self.allow(who, "keys/restore/action", "/keys")
        for text, key in self.backups:
            if text == value:
                self.keys.pop(key.canonical, None)
        return super().restore(who, value)


FAULTS = [c for c in list(globals().values()) if isinstance(c, type) and issubclass(c, Model) and c is not Model]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda c: c.__name__)
def test_faults_are_found(fault):
    """And told in a handful of steps."""
    with pytest.raises(Difference) as caught:
        run(Fake(fault), 1000)
    print(caught.value)
    assert 1 <= len(caught.value.steps) <= 6, caught.value


def another_status(operation, arguments, status, doc):
    return (200, doc) if operation == "put_definition" and status == 201 else (status, doc)


def another_code(operation, arguments, status, doc):
    if operation == "purge" and status == 404:
        doc = {"error": {**doc["error"], "code": "NotFound"}}
    return status, doc


def one_more_member(operation, arguments, status, doc):
    return status, {**doc, "managed": False} if operation == "recover" and status == 200 else doc


@pytest.mark.parametrize("meddle", [another_status, another_code, one_more_member])
def test_wrong_answers_are_found(meddle):
    with pytest.raises(Difference):
        run(Fake(meddle=meddle), 1000)
