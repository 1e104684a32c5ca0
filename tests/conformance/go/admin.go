package main

// Roles and settings. The administration module of this SDK is not in every proxy, so the requests are our own; the
// pipeline with its retries and its bearer token is the SDK's.

import (
	"context"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

const ownRequests = "own requests through azcore"

type roleProperties struct {
	RoleName         string       `json:"roleName,omitempty"`
	Type             string       `json:"type,omitempty"`
	Permissions      []permission `json:"permissions,omitempty"`
	Scope            string       `json:"scope,omitempty"`
	RoleDefinitionID string       `json:"roleDefinitionId,omitempty"`
	PrincipalID      string       `json:"principalId,omitempty"`
}

type permission struct {
	DataActions []string `json:"dataActions"`
}

type role struct {
	ID         string         `json:"id,omitempty"`
	Name       string         `json:"name,omitempty"`
	Properties roleProperties `json:"properties"`
}

type setting struct {
	Name  string `json:"name,omitempty"`
	Type  string `json:"type,omitempty"`
	Value string `json:"value"`
}

type admin struct {
	url      string
	pipeline runtime.Pipeline
}

func newAdmin(url string, credential azcore.TokenCredential) *admin {
	bearer := runtime.NewBearerTokenPolicy(credential, []string{"https://managedhsm.azure.net/.default"}, nil)
	return &admin{url, runtime.NewPipeline("conformance", "1", runtime.PipelineOptions{
		PerRetry: []policy.Policy{bearer}}, nil)}
}

// send returns the SDK's *azcore.ResponseError for an answer that is not 2xx.
func send[T any](a *admin, method, path string, body any) (T, error) {
	var answer T
	request, err := runtime.NewRequest(context.Background(), method, a.url+path+"?api-version=7.6")
	if err != nil {
		return answer, err
	}
	if body != nil {
		if err := runtime.MarshalAsJSON(request, body); err != nil {
			return answer, err
		}
	}
	response, err := a.pipeline.Do(request)
	if err != nil {
		return answer, err
	}
	if !runtime.HasStatusCode(response, http.StatusOK, http.StatusCreated) {
		return answer, runtime.NewResponseError(response)
	}
	return answer, runtime.UnmarshalAsJSON(response, &answer)
}

func rolePath(scope, kind, name string) string {
	if scope == "/" {
		scope = ""
	}
	if name != "" {
		name = "/" + name
	}
	return scope + "/providers/Microsoft.Authorization/role" + kind + name
}
