"""Roles of the reference model: who may do what where, and how that is changed."""
from parts import Answer, Refused, require
from template import Unordered
from test_roles_matrix import MATRIX, PREFIX, ROLES

AUTHZ = "/providers/Microsoft.Authorization"
DEFINITION_ID = f"Microsoft.KeyVault{AUTHZ}/roleDefinitions/"
ASSIGNMENT_ID = f"{AUTHZ}/roleAssignments/"
BUILTIN = {guid: name for name, guid in ROLES.items()}
ADMINISTRATOR = ROLES["Managed HSM Administrator"]


def covers(assigned, requested):
    a, r = assigned.lower(), requested.lower()
    return a == "/" or r == a or (a == "/keys" and r.startswith("/keys/"))


def same(scope, other):
    return scope.lower() == other.lower()


def by_name(item):
    return item["name"]


class Roles:
    def actions(self, role):
        if role in BUILTIN:
            return {a for a, roles in MATRIX.items() if BUILTIN[role] in roles}
        found = set()
        for p in self.definitions.get(role, {}).get("permissions", []):
            found |= {a.removeprefix(PREFIX) for a in set(p["dataActions"]) - set(p["notDataActions"])}
        return found

    def allow(self, who, action, scope):
        for role, principal, at in self.assignments.values():
            if principal == who and covers(at, scope) and action in self.actions(role):
                return
        raise Refused(403, "AccessDenied", f"{PREFIX}{action} on /")

    # ---- definitions
    def definition(self, guid):
        if guid in BUILTIN:
            actions = Unordered(PREFIX + a for a in self.actions(guid))
            permissions = [{"actions": [], "dataActions": actions, "notActions": [], "notDataActions": []}]
            properties = {"roleName": BUILTIN[guid], "description": "", "permissions": permissions, "type": "AKVBuiltInRole"}
        else:
            properties = {**self.definitions[guid], "type": "CustomRole"}
        return {"id": DEFINITION_ID + guid, "name": guid, "type": "Microsoft.Authorization/roleDefinitions",
                "properties": {"assignableScopes": ["/"], **properties}}

    def list_definitions(self, who, scope):
        self.allow(who, "roleDefinitions/read/action", scope)
        return Answer(200, {"value": Unordered([self.definition(g) for g in [*BUILTIN, *self.definitions]], by_name)})

    def known_definition(self, guid):
        require(guid in BUILTIN or guid in self.definitions, 404, "RoleDefinitionNotFound")
        return self.definition(guid)

    def get_definition(self, who, scope, guid):
        self.allow(who, "roleDefinitions/read/action", scope)
        return Answer(200, self.known_definition(guid))

    def put_definition(self, who, scope, guid, name=None, description=None, actions=None, not_actions=None):
        """actions None: without permissions."""
        self.allow(who, "roleDefinitions/write/action", scope)
        require(scope == "/")
        require(guid not in BUILTIN and name not in ROLES)
        permissions = [] if actions is None else [{
            "actions": [], "dataActions": [PREFIX + a for a in actions], "notActions": [],
            "notDataActions": [PREFIX + a for a in not_actions or []]}]
        properties = {"roleName": name or guid, "description": description or "", "permissions": permissions}
        answer = {"id": DEFINITION_ID + guid, "name": guid, "type": "Microsoft.Authorization/roleDefinitions",
                  "properties": {"assignableScopes": ["/"], **properties, "type": "CustomRole"}}

        def effect(_):
            self.definitions[guid] = properties
        return Answer(201, answer, effect=effect)

    def delete_definition(self, who, scope, guid):
        self.allow(who, "roleDefinitions/delete/action", scope)
        require(scope == "/")
        require(guid not in BUILTIN)
        return Answer(200, self.known_definition(guid), effect=lambda _: self.definitions.pop(guid))

    # ---- assignments
    def assignment(self, guid):
        role, principal, scope = self.assignments[guid]
        return {"id": ASSIGNMENT_ID + guid, "name": guid, "type": "Microsoft.Authorization/roleAssignments",
                "properties": {"principalId": principal, "roleDefinitionId": DEFINITION_ID + role, "scope": scope}}

    def list_assignments(self, who, scope, at_scope=False, principal=None):
        """Without a filter: at / those of / and /keys, at /keys those of /keys, at a key exactly its own. at_scope: the scope
        and above. principal: of that principal."""
        self.allow(who, "roleAssignments/read/action", scope)

        def listed(of, at):
            if principal is not None:
                return of == principal
            if at_scope:
                return covers(at, scope)
            return same(at, scope) or (scope == "/" and at == "/keys")
        found = [self.assignment(g) for g, (_, of, at) in self.assignments.items() if listed(of, at)]
        return Answer(200, {"value": Unordered(found, by_name)})

    def get_assignment(self, who, scope, guid):
        """At its scope, and above."""
        self.allow(who, "roleAssignments/read/action", scope)
        there = guid in self.assignments and covers(scope, self.assignments[guid][2])
        require(there, 404, "RoleAssignmentNotFound")
        return Answer(200, self.assignment(guid))

    def put_assignment(self, who, scope, guid, role, principal):
        self.allow(who, "roleAssignments/write/action", scope)
        require(guid not in self.assignments, 400, "RoleAssignmentExists")
        require(role in BUILTIN or role in self.definitions, 404, "RoleDefinitionNotFound")
        twins = [a for a in self.assignments.values() if a[:2] == (role, principal) and same(a[2], scope)]
        require(not twins, 400, "MatchingRoleAssignmentExists")
        answer = {"id": ASSIGNMENT_ID + guid, "name": guid, "type": "Microsoft.Authorization/roleAssignments",
                  "properties": {"principalId": principal, "roleDefinitionId": DEFINITION_ID + role, "scope": scope}}

        def effect(_):
            self.assignments[guid] = (role, principal, scope)
        return Answer(201, answer, effect=effect)

    def delete_assignment(self, who, scope, guid):
        """Exactly at its scope; the last administrator stays."""
        self.allow(who, "roleAssignments/delete/action", scope)
        there = guid in self.assignments and same(self.assignments[guid][2], scope)
        require(there, 404, "RoleAssignmentNotFound")
        administrators = [g for g, (role, _, at) in self.assignments.items() if role == ADMINISTRATOR and at == "/"]
        require(administrators != [guid], 409, "Conflict")
        return Answer(200, self.assignment(guid), effect=lambda _: self.assignments.pop(guid))
