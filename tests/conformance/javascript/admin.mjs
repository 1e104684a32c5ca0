// Roles and settings. The administration package of this SDK is not in every registry, so the requests are our own;
// pipeline, retries, credential and the challenge with its verification of the resource are the SDK's.
import { createPipelineRequest, createPipelineFromOptions, createDefaultHttpClient, RestError } from "@azure/core-rest-pipeline";
import { keyVaultAuthenticationPolicy } from "@azure/keyvault-common";

const VERSION = "7.6";

export class Admin {
    constructor(url, credential) {
        this.url = url;
        this.pipeline = createPipelineFromOptions({});
        this.pipeline.addPolicy(keyVaultAuthenticationPolicy(credential));
        this.http = createDefaultHttpClient();
    }

    async send(method, path, body) {
        const request = createPipelineRequest({
            url: `${this.url}${path}?api-version=${VERSION}`,
            method,
            body: body && JSON.stringify(body),
        });
        if (body) request.headers.set("content-type", "application/json");
        const response = await this.pipeline.sendRequest(this.http, request);
        const answer = response.bodyAsText ? JSON.parse(response.bodyAsText) : undefined;
        if (response.status >= 300) {
            const e = answer?.error;
            throw new RestError(`${e?.code}: ${e?.message}`, { code: e?.code, statusCode: response.status, request, response });
        }
        return answer;
    }

    role(scope, kind, name = "") {
        return `${scope === "/" ? "" : scope}/providers/Microsoft.Authorization/role${kind}${name && "/" + name}`;
    }

    async listRoleDefinitions(scope) {
        return (await this.send("GET", this.role(scope, "Definitions"))).value;
    }
    getRoleDefinition(scope, name) {
        return this.send("GET", this.role(scope, "Definitions", name));
    }
    setRoleDefinition(scope, name, properties) {
        return this.send("PUT", this.role(scope, "Definitions", name), { properties: { type: "CustomRole", assignableScopes: [scope], ...properties } });
    }
    deleteRoleDefinition(scope, name) {
        return this.send("DELETE", this.role(scope, "Definitions", name));
    }
    async listRoleAssignments(scope) {
        return (await this.send("GET", this.role(scope, "Assignments"))).value;
    }
    getRoleAssignment(scope, name) {
        return this.send("GET", this.role(scope, "Assignments", name));
    }
    createRoleAssignment(scope, name, roleDefinitionId, principalId) {
        return this.send("PUT", this.role(scope, "Assignments", name), { properties: { roleDefinitionId, principalId } });
    }
    deleteRoleAssignment(scope, name) {
        return this.send("DELETE", this.role(scope, "Assignments", name));
    }
    async listSettings() {
        return (await this.send("GET", "/settings")).settings;
    }
    getSetting(name) {
        return this.send("GET", `/settings/${name}`);
    }
    updateSetting(name, value) {
        return this.send("PATCH", `/settings/${name}`, { value });
    }
}
