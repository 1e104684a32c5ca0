// The scenario of tests/conformance/scenario.py with the Azure SDK for Go. One line of JSON for each step.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

const (
	name = "conf-go-"
	many = 28
)

type result struct {
	Step   string            `json:"step"`
	OK     bool              `json:"ok"`
	Detail string            `json:"detail,omitempty"`
	Via    string            `json:"via,omitempty"`
	Proof  map[string]string `json:"proof,omitempty"`
}

type step struct {
	name string
	run  func(*result)
}

var (
	ctx    = context.Background()
	keys   *azkeys.Client
	guest  *azkeys.Client
	roles  *admin
	made   map[string]map[string]string
	origin = os.Getenv("KEYHOLD_ORIGIN")
)

// must and check end the step; report() catches that.
func must[T any](value T, err error) T {
	check(err == nil, "%v", err)
	return value
}

func check(holds bool, format string, args ...any) {
	if !holds {
		panic(fmt.Sprintf(format, args...))
	}
}

func same[T comparable](got, want T) {
	check(got == want, "%v instead of %v", got, want)
}

// refused: the error is the SDK's, with this status and code of the service.
func refused(err error, status int, code string) *azcore.ResponseError {
	var e *azcore.ResponseError
	check(errors.As(err, &e), "not refused with a ResponseError: %v", err)
	check(e.StatusCode == status && e.ErrorCode == code, "%d %s instead of %d %s", e.StatusCode, e.ErrorCode, status, code)
	return e
}

func b64u(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func unb64u(text string) []byte { return must(base64.RawURLEncoding.DecodeString(text)) }

func reversed(data []byte) []byte {
	r := bytes.Clone(data)
	slices.Reverse(r)
	return r
}

func credentialOf(prefix string, options *azidentity.ClientSecretCredentialOptions) azcore.TokenCredential {
	return must(azidentity.NewClientSecretCredential(os.Getenv("KEYHOLD_TENANT"), os.Getenv(prefix+"_CLIENT_ID"),
		os.Getenv(prefix+"_CLIENT_SECRET"), options))
}

func createOct(suffix string, bits int32, tags map[string]*string) azkeys.CreateKeyResponse {
	return must(keys.CreateKey(ctx, name+suffix, azkeys.CreateKeyParameters{
		Kty: to.Ptr(azkeys.KeyTypeOctHSM), KeySize: to.Ptr(bits), Tags: tags}, nil))
}

func createRSA(suffix string, tags map[string]*string) azkeys.CreateKeyResponse {
	return must(keys.CreateKey(ctx, name+suffix, azkeys.CreateKeyParameters{
		Kty: to.Ptr(azkeys.KeyTypeRSAHSM), KeySize: to.Ptr(int32(2048)), Tags: tags}, nil))
}

func createEC(suffix string, curve azkeys.CurveName, tags map[string]*string) (azkeys.CreateKeyResponse, error) {
	return keys.CreateKey(ctx, name+suffix, azkeys.CreateKeyParameters{
		Kty: to.Ptr(azkeys.KeyTypeECHSM), Curve: to.Ptr(curve), Tags: tags}, nil)
}

func get(suffix, version string) azkeys.GetKeyResponse {
	return must(keys.GetKey(ctx, name+suffix, version, nil))
}

// sign a digest, verify it, and hand the signature over for a check outside.
func sign(r *result, suffix, algorithm string, digest []byte) {
	alg := azkeys.SignatureAlgorithm(algorithm)
	key := get(suffix, "").Key
	signature := must(keys.Sign(ctx, name+suffix, key.KID.Version(),
		azkeys.SignParameters{Algorithm: &alg, Value: digest}, nil)).Result
	same(verify(suffix, algorithm, digest, signature), true)
	same(verify(suffix, algorithm, reversed(digest), signature), false)
	r.Proof = map[string]string{"alg": algorithm, "digest": b64u(digest), "signature": b64u(signature)}
	for member, value := range map[string][]byte{"n": key.N, "e": key.E, "x": key.X, "y": key.Y} {
		if value != nil {
			r.Proof[member] = b64u(value)
		}
	}
	if key.Crv != nil {
		r.Proof["crv"] = string(*key.Crv)
	}
}

func verify(suffix, algorithm string, digest, signature []byte) bool {
	return *must(keys.Verify(ctx, name+suffix, "", azkeys.VerifyParameters{
		Algorithm: to.Ptr(azkeys.SignatureAlgorithm(algorithm)), Digest: digest, Signature: signature}, nil)).Value
}

func report(s step) {
	r := result{Step: s.name}
	func() {
		defer func() {
			if e := recover(); e != nil {
				where := ""
				for _, line := range strings.Split(string(debug.Stack()), "\n") {
					if strings.Contains(line, "steps.go:") {
						where = strings.Fields(line[strings.Index(line, "steps.go:"):])[0]
						break
					}
				}
				r.Detail = strings.Join(strings.Fields(fmt.Sprintf("%v (%s)", e, where)), " ")
				return
			}
			r.OK = true
		}()
		s.run(&r)
	}()
	must(0, json.NewEncoder(os.Stdout).Encode(r))
}

func main() {
	material := must(os.ReadFile(os.Getenv("KEYHOLD_MATERIAL")))
	must(0, json.Unmarshal(material, &made))
	url := os.Getenv("KEYHOLD_POOL_URL")
	credential := credentialOf("KEYHOLD", nil)
	keys = must(azkeys.NewClient(url, credential, nil))
	guest = must(azkeys.NewClient(url, credentialOf("KEYHOLD_GUEST", nil), nil))
	roles = newAdmin(url, credential)
	for _, s := range steps() {
		report(s)
	}
}

// ownClient uses the pool's own name and authority.
func ownClient() *azkeys.Client {
	options := azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: origin}}
	credential := credentialOf("KEYHOLD", &azidentity.ClientSecretCredentialOptions{
		ClientOptions: options, DisableInstanceDiscovery: true})
	return must(azkeys.NewClient(os.Getenv("KEYHOLD_OWN_URL"), credential, nil))
}
