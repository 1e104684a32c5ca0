package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

const (
	settingName    = "AllowKeyManagementOperationsThroughARM"
	encryptionUser = "33413926-3206-4cdd-b39a-83574fe37a17"
	guarded        = name + "guarded"
	guardedScope   = "/keys/" + guarded
)

func steps() []step {
	digest256 := sha256.Sum256([]byte("message"))
	digest384 := sha512.Sum384([]byte("message"))
	digest512 := sha512.Sum512([]byte("message"))
	signing := func(suffix, algorithm string, digest []byte) step {
		return step{"sign-" + algorithm, func(r *result) { sign(r, suffix, algorithm, digest) }}
	}
	return []step{
		{"own-names", stepOwnNames}, {"create-rsa", stepCreateRSA}, {"create-ec", stepCreateEC},
		{"create-oct", stepCreateOct}, {"import-rsa", stepImportRSA}, {"import-ec", stepImportEC},
		{"import-oct", stepImportOct}, {"get", stepGet}, {"update", stepUpdate}, {"list-keys", stepListKeys},
		{"list-versions", stepListVersions}, {"encrypt-RSA-OAEP-256", stepEncryptRSA},
		{"encrypt-A256GCM", stepEncryptGCM}, {"encrypt-A256CBCPAD", stepEncryptCBC},
		{"wrap-RSA-OAEP-256", func(*result) { wrap("rsa", azkeys.EncryptionAlgorithmRSAOAEP256, 256) }},
		{"wrap-A256KW", func(*result) { wrap("oct-256", azkeys.EncryptionAlgorithmA256KW, 40) }},
		signing("rsa", "RS256", digest256[:]), signing("rsa", "PS256", digest256[:]),
		signing("P-256", "ES256", digest256[:]), signing("P-384", "ES384", digest384[:]),
		signing("P-521", "ES512", digest512[:]), signing("P-256K", "ES256K", digest256[:]),
		{"rotation-policy", stepRotationPolicy}, {"rotate", stepRotate}, {"delete", stepDelete},
		{"get-deleted", stepGetDeleted}, {"list-deleted", stepListDeleted}, {"recover", stepRecover},
		{"purge", stepPurge}, {"backup-restore", func(*result) { backupRestore(digest256[:]) }},
		{"random-bytes", stepRandomBytes}, {"settings-list", stepSettingsList},
		{"settings-update", stepSettingsUpdate}, {"role-definitions", stepRoleDefinitions},
		{"role-definition-custom", stepRoleDefinitionCustom}, {"refused", stepRefused},
		{"role-assignment-create", stepAssignmentCreate}, {"role-assignment-get", stepAssignmentGet},
		{"role-assignment-list", stepAssignmentList}, {"accepted", stepAccepted},
		{"role-assignment-delete", stepAssignmentDelete}, {"not-found", stepNotFound},
	}
}

// ---- keys

func stepOwnNames(*result) {
	created := createOct("own", 256, nil)
	shown := must(ownClient().GetKey(ctx, name+"own", "", nil))
	same(shown.Key.KID.Version(), created.Key.KID.Version())
	check(strings.HasPrefix(string(*shown.Key.KID), os.Getenv("KEYHOLD_OWN_URL")), "%s", *shown.Key.KID)
}

func stepCreateRSA(*result) {
	created := createRSA("rsa", map[string]*string{"by": to.Ptr("go")})
	same(*created.Key.Kty, azkeys.KeyTypeRSAHSM)
	same(len(created.Key.N), 256)
	same(string(created.Key.E), "\x01\x00\x01")
	check(created.Key.D == nil, "a private part is shown")
	same(*created.Tags["by"], "go")
}

func stepCreateEC(*result) {
	for curve, size := range map[azkeys.CurveName]int{"P-256": 32, "P-384": 48, "P-521": 66, "P-256K": 32} {
		created := must(createEC(string(curve), curve, nil))
		same(*created.Key.Kty, azkeys.KeyTypeECHSM)
		same(*created.Key.Crv, curve)
		same(len(created.Key.X), size)
		same(len(created.Key.Y), size)
		check(created.Key.D == nil, "a private part is shown")
	}
}

func stepCreateOct(*result) {
	for _, bits := range []int32{128, 192, 256} {
		created := createOct(fmt.Sprintf("oct-%d", bits), bits, nil)
		same(*created.Key.Kty, azkeys.KeyTypeOctHSM)
		check(created.Key.K == nil, "key material is shown")
	}
}

func imported(kind string, key azkeys.JSONWebKey) azkeys.ImportKeyResponse {
	created := must(keys.ImportKey(ctx, name+"import-"+kind, azkeys.ImportKeyParameters{Key: &key, HSM: to.Ptr(true)}, nil))
	same(*created.Key.Kty, *key.Kty)
	return created
}

func member(kind, name string) []byte { return unb64u(made[kind][name]) }

func stepImportRSA(*result) {
	m := func(name string) []byte { return member("rsa", name) }
	created := imported("rsa", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSAHSM), N: m("n"), E: m("e"), D: m("d"),
		P: m("p"), Q: m("q"), DP: m("dp"), DQ: m("dq"), QI: m("qi"),
		KeyOps: []*azkeys.KeyOperation{to.Ptr(azkeys.KeyOperationDecrypt), to.Ptr(azkeys.KeyOperationEncrypt)}})
	same(b64u(created.Key.N), made["rsa"]["n"])
	check(created.Key.D == nil, "a private part is shown")
	same(len(created.Key.KeyOps), 2)
	opened := must(keys.Decrypt(ctx, name+"import-rsa", "", azkeys.KeyOperationParameters{
		Algorithm: to.Ptr(azkeys.EncryptionAlgorithmRSAOAEP256), Value: m("ciphertext")}, nil))
	same(b64u(opened.Result), made["rsa"]["plaintext"])
}

func stepImportEC(r *result) {
	m := func(name string) []byte { return member("ec", name) }
	created := imported("ec", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeECHSM), Crv: to.Ptr(azkeys.CurveNameP256),
		X: m("x"), Y: m("y"), D: m("d"),
		KeyOps: []*azkeys.KeyOperation{to.Ptr(azkeys.KeyOperationSign), to.Ptr(azkeys.KeyOperationVerify)}})
	same(b64u(created.Key.X), made["ec"]["x"])
	same(verify("import-ec", "ES256", m("digest"), m("signature")), true)
	same(verify("import-ec", "ES256", reversed(m("digest")), m("signature")), false)
	sign(r, "import-ec", "ES256", m("digest"))
}

func stepImportOct(*result) {
	m := func(name string) []byte { return member("oct", name) }
	created := imported("oct", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeOctHSM), K: m("k"),
		KeyOps: []*azkeys.KeyOperation{to.Ptr(azkeys.KeyOperationEncrypt), to.Ptr(azkeys.KeyOperationDecrypt)}})
	check(created.Key.K == nil, "key material is shown")
	opened := must(keys.Decrypt(ctx, name+"import-oct", "", azkeys.KeyOperationParameters{
		Algorithm: to.Ptr(azkeys.EncryptionAlgorithmA256GCM), Value: m("ciphertext"), IV: m("iv"),
		AuthenticationTag: m("tag"), AdditionalAuthenticatedData: m("aad")}, nil))
	same(b64u(opened.Result), made["oct"]["plaintext"])
}

func stepGet(*result) {
	first := must(createEC("get", azkeys.CurveNameP256, nil))
	second := must(createEC("get", azkeys.CurveNameP256, nil))
	same(*get("get", "").Key.KID, *second.Key.KID)
	old := get("get", first.Key.KID.Version())
	same(*old.Key.KID, *first.Key.KID)
	same(b64u(old.Key.X), b64u(first.Key.X))
}

func stepUpdate(*result) {
	createOct("update", 128, map[string]*string{"one": to.Ptr("1")})
	end := time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC)
	must(keys.UpdateKey(ctx, name+"update", "", azkeys.UpdateKeyParameters{
		KeyAttributes: &azkeys.KeyAttributes{Enabled: to.Ptr(false), Expires: &end},
		Tags:          map[string]*string{"two": to.Ptr("2")}}, nil))
	shown := get("update", "")
	same(*shown.Attributes.Enabled, false)
	check(shown.Attributes.Expires.Equal(end), "%v", shown.Attributes.Expires)
	check(len(shown.Tags) == 1 && *shown.Tags["two"] == "2", "tags %v", shown.Tags)
	changed := must(keys.UpdateKey(ctx, name+"update", "", azkeys.UpdateKeyParameters{
		KeyAttributes: &azkeys.KeyAttributes{Enabled: to.Ptr(true)}}, nil))
	same(*changed.Attributes.Enabled, true)
}

func manyName(i int) string { return fmt.Sprintf("many-%02d", i) }

// wantAll: the lists of all pages hold every wanted one once.
func wantAll(pages int, listed []string, wanted []string) {
	check(pages > 1, "%d page", pages)
	seen := map[string]int{}
	for _, one := range listed {
		seen[one]++
		check(seen[one] == 1, "%s is listed twice", one)
	}
	for _, one := range wanted {
		check(seen[one] == 1, "%s is not listed", one)
	}
}

func manyNames() []string {
	names := []string{}
	for i := range many {
		names = append(names, name+manyName(i))
	}
	return names
}

func stepListKeys(*result) {
	for i := range many {
		createOct(manyName(i), 128, nil)
	}
	pages, listed := 0, []string{}
	for pager := keys.NewListKeyPropertiesPager(nil); pager.More(); pages++ {
		for _, k := range must(pager.NextPage(ctx)).Value {
			listed = append(listed, k.KID.Name())
		}
	}
	wantAll(pages, listed, manyNames())
}

func stepListVersions(*result) {
	wanted := []string{}
	for range many {
		wanted = append(wanted, string(*createOct("versions", 128, nil).Key.KID))
	}
	pages, listed := 0, []string{}
	for pager := keys.NewListKeyPropertiesVersionsPager(name+"versions", nil); pager.More(); pages++ {
		for _, k := range must(pager.NextPage(ctx)).Value {
			listed = append(listed, string(*k.KID))
		}
	}
	wantAll(pages, listed, wanted)
	same(len(listed), many)
}

// ---- cryptography

func stepEncryptRSA(*result) {
	p := azkeys.KeyOperationParameters{Algorithm: to.Ptr(azkeys.EncryptionAlgorithmRSAOAEP256), Value: []byte("secret")}
	p.Value = must(keys.Encrypt(ctx, name+"rsa", "", p, nil)).Result
	same(string(must(keys.Decrypt(ctx, name+"rsa", "", p, nil)).Result), "secret")
	p.Value = make([]byte, 256)
	_, err := keys.Decrypt(ctx, name+"rsa", "", p, nil)
	refused(err, http.StatusBadRequest, "BadParameter")
}

func stepEncryptGCM(*result) {
	p := azkeys.KeyOperationParameters{Algorithm: to.Ptr(azkeys.EncryptionAlgorithmA256GCM), Value: []byte("secret"),
		AdditionalAuthenticatedData: []byte("about")}
	sealed := must(keys.Encrypt(ctx, name+"oct-256", "", p, nil))
	p.Value, p.IV, p.AuthenticationTag = sealed.Result, sealed.IV, sealed.AuthenticationTag
	same(string(must(keys.Decrypt(ctx, name+"oct-256", "", p, nil)).Result), "secret")
	p.AdditionalAuthenticatedData = []byte("other")
	_, err := keys.Decrypt(ctx, name+"oct-256", "", p, nil)
	refused(err, http.StatusBadRequest, "BadParameter")
}

func stepEncryptCBC(*result) {
	p := azkeys.KeyOperationParameters{Algorithm: to.Ptr(azkeys.EncryptionAlgorithmA256CBCPAD), Value: []byte("secret"),
		IV: make([]byte, 16)}
	must(rand.Read(p.IV))
	p.Value = must(keys.Encrypt(ctx, name+"oct-256", "", p, nil)).Result
	same(len(p.Value), 16)
	same(string(must(keys.Decrypt(ctx, name+"oct-256", "", p, nil)).Result), "secret")
}

func wrap(suffix string, algorithm azkeys.EncryptionAlgorithm, length int) {
	key := strings.Repeat("k", 32)
	p := azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: []byte(key)}
	p.Value = must(keys.WrapKey(ctx, name+suffix, "", p, nil)).Result
	same(len(p.Value), length)
	same(string(must(keys.UnwrapKey(ctx, name+suffix, "", p, nil)).Result), key)
	p.Value = make([]byte, length)
	_, err := keys.UnwrapKey(ctx, name+suffix, "", p, nil)
	refused(err, http.StatusBadRequest, "BadParameter")
}

// ---- life of a key

func stepRotationPolicy(*result) {
	createRSA("rotate", map[string]*string{"kept": to.Ptr("yes")})
	put := must(keys.UpdateKeyRotationPolicy(ctx, name+"rotate", azkeys.KeyRotationPolicy{
		Attributes: &azkeys.KeyRotationPolicyAttributes{ExpiryTime: to.Ptr("P90D")},
		LifetimeActions: []*azkeys.LifetimeAction{{
			Action:  &azkeys.LifetimeActionType{Type: to.Ptr(azkeys.KeyRotationPolicyActionRotate)},
			Trigger: &azkeys.LifetimeActionTrigger{TimeBeforeExpiry: to.Ptr("P30D")}}}}, nil))
	got := must(keys.GetKeyRotationPolicy(ctx, name+"rotate", nil))
	check(put.Attributes.Updated.Equal(*got.Attributes.Updated), "%v", got.Attributes.Updated)
	same(*got.Attributes.ExpiryTime, "P90D")
	same(len(got.LifetimeActions), 1)
	same(strings.ToLower(string(*got.LifetimeActions[0].Action.Type)), "rotate")
	same(*got.LifetimeActions[0].Trigger.TimeBeforeExpiry, "P30D")
}

func stepRotate(*result) {
	old := get("rotate", "")
	created := must(keys.RotateKey(ctx, name+"rotate", nil))
	check(*created.Key.KID != *old.Key.KID, "the same version")
	same(len(created.Key.N), 256)
	check(b64u(created.Key.N) != b64u(old.Key.N), "the same key")
	same(*created.Tags["kept"], "yes")
	same(created.Attributes.Expires.Sub(*created.Attributes.Created), 90*24*time.Hour)
	same(*get("rotate", "").Key.KID, *created.Key.KID)
	same(b64u(get("rotate", old.Key.KID.Version()).Key.N), b64u(old.Key.N))
}

func remove(suffix string) { must(keys.DeleteKey(ctx, name+suffix, nil)) }

func stepDelete(*result) {
	must(createEC("gone", azkeys.CurveNameP256, nil))
	remove("gone")
	_, err := keys.GetKey(ctx, name+"gone", "", nil)
	refused(err, http.StatusNotFound, "KeyNotFound")
	_, err = createEC("gone", azkeys.CurveNameP256, nil)
	refused(err, http.StatusConflict, "Conflict")
}

func stepGetDeleted(*result) {
	shown := must(keys.GetDeletedKey(ctx, name+"gone", nil))
	check(strings.HasSuffix(*shown.RecoveryID, "/deletedkeys/"+name+"gone"), "%s", *shown.RecoveryID)
	days := shown.ScheduledPurgeDate.Sub(*shown.DeletedDate).Hours() / 24
	same(days, float64(*shown.Attributes.RecoverableDays))
}

func stepListDeleted(*result) {
	for i := range many {
		remove(manyName(i))
	}
	pages, listed := 0, []string{}
	for pager := keys.NewListDeletedKeyPropertiesPager(nil); pager.More(); pages++ {
		for _, k := range must(pager.NextPage(ctx)).Value {
			listed = append(listed, k.KID.Name())
		}
	}
	wantAll(pages, listed, manyNames())
}

func stepRecover(*result) {
	before := must(keys.GetDeletedKey(ctx, name+"gone", nil))
	same(*must(keys.RecoverDeletedKey(ctx, name+"gone", nil)).Key.KID, *before.Key.KID)
	same(b64u(get("gone", "").Key.X), b64u(before.Key.X))
}

func stepPurge(*result) {
	old := get("gone", "")
	remove("gone")
	must(keys.PurgeDeletedKey(ctx, name+"gone", nil))
	_, err := keys.GetDeletedKey(ctx, name+"gone", nil)
	refused(err, http.StatusNotFound, "KeyNotFound")
	check(*must(createEC("gone", azkeys.CurveNameP256, nil)).Key.KID != *old.Key.KID, "the same version")
}

func backupRestore(digest []byte) {
	old := must(createEC("backup", azkeys.CurveNameP256, map[string]*string{"kept": to.Ptr("yes")}))
	signature := must(keys.Sign(ctx, name+"backup", "", azkeys.SignParameters{
		Algorithm: to.Ptr(azkeys.SignatureAlgorithmES256), Value: digest}, nil)).Result
	blob := must(keys.BackupKey(ctx, name+"backup", nil)).Value
	_, err := keys.RestoreKey(ctx, azkeys.RestoreKeyParameters{KeyBackup: blob}, nil)
	refused(err, http.StatusConflict, "Conflict")
	remove("backup")
	must(keys.PurgeDeletedKey(ctx, name+"backup", nil))
	back := must(keys.RestoreKey(ctx, azkeys.RestoreKeyParameters{KeyBackup: blob}, nil))
	same(*back.Key.KID, *old.Key.KID)
	same(*back.Tags["kept"], "yes")
	same(verify("backup", "ES256", digest, signature), true)
}

// ---- the pool

func stepRandomBytes(*result) {
	p := azkeys.GetRandomBytesParameters{Count: to.Ptr(int32(32))}
	one, two := must(keys.GetRandomBytes(ctx, p, nil)).Value, must(keys.GetRandomBytes(ctx, p, nil)).Value
	check(len(one) == 32 && len(two) == 32 && b64u(one) != b64u(two), "%x %x", one, two)
}

func stepSettingsList(r *result) {
	type list struct {
		Settings []setting `json:"settings"`
	}
	one := must(send[setting](roles, "GET", "/settings/"+settingName, nil))
	same(one.Type, "boolean")
	found := false
	for _, s := range must(send[list](roles, "GET", "/settings", nil)).Settings {
		found = found || s == one
	}
	check(found, "%s is not listed", settingName)
	r.Via = ownRequests
}

func stepSettingsUpdate(r *result) {
	path := "/settings/" + settingName
	before := must(send[setting](roles, "GET", path, nil)).Value
	other := map[string]string{"true": "false", "false": "true"}[before]
	defer send[setting](roles, "PATCH", path, setting{Value: before})
	same(must(send[setting](roles, "PATCH", path, setting{Value: other})).Value, other)
	same(must(send[setting](roles, "GET", path, nil)).Value, other)
	r.Via = ownRequests
}

type roleList struct {
	Value []role `json:"value"`
}

func stepRoleDefinitions(r *result) {
	found := map[string]role{}
	for _, d := range must(send[roleList](roles, "GET", rolePath("/", "Definitions", ""), nil)).Value {
		found[d.Properties.RoleName] = d
	}
	user := found["Managed HSM Crypto User"].Properties
	same(user.Type, "AKVBuiltInRole")
	check(len(user.Permissions[0].DataActions) > 0, "no actions")
	same(found["Managed HSM Crypto Service Encryption User"].Name, encryptionUser)
	r.Via = ownRequests
}

func newGUID() string {
	b := make([]byte, 16)
	must(rand.Read(b))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func stepRoleDefinitionCustom(r *result) {
	path := rolePath("/", "Definitions", newGUID())
	put := role{Properties: roleProperties{RoleName: name + "readers", Type: "CustomRole",
		Permissions: []permission{{[]string{"Microsoft.KeyVault/managedHsm/keys/read/action"}}}}}
	created := must(send[role](roles, "PUT", path, put))
	same(created.Properties.Type, "CustomRole")
	same(created.Properties.Permissions[0].DataActions[0], put.Properties.Permissions[0].DataActions[0])
	must(send[role](roles, "PUT", path, role{Properties: roleProperties{RoleName: name + "nobody", Type: "CustomRole"}}))
	same(must(send[role](roles, "GET", path, nil)).Properties.RoleName, name+"nobody")
	must(send[role](roles, "DELETE", path, nil))
	_, err := send[role](roles, "GET", path, nil)
	refused(err, http.StatusNotFound, "RoleDefinitionNotFound")
	r.Via = ownRequests
}

func guestIsRefused() {
	_, err := guest.GetKey(ctx, guarded, "", nil)
	e := refused(err, http.StatusForbidden, "AccessDenied")
	check(strings.Contains(e.Error(), "Not authorized"), "%v", e)
}

func stepRefused(*result) {
	createOct("guarded", 256, nil)
	guestIsRefused()
}

var assignment = rolePath(guardedScope, "Assignments", newGUID())

func stepAssignmentCreate(r *result) {
	definition := must(send[role](roles, "GET", rolePath("/", "Definitions", encryptionUser), nil))
	created := must(send[role](roles, "PUT", assignment, role{Properties: roleProperties{
		RoleDefinitionID: definition.ID, PrincipalID: os.Getenv("KEYHOLD_GUEST_OID")}}))
	check(strings.HasSuffix(assignment, created.Name), "%s", created.Name)
	same(created.Properties.Scope, guardedScope)
	r.Via = ownRequests
}

func stepAssignmentGet(r *result) {
	same(must(send[role](roles, "GET", assignment, nil)).Properties.PrincipalID, os.Getenv("KEYHOLD_GUEST_OID"))
	r.Via = ownRequests
}

func stepAssignmentList(r *result) {
	found := false
	for _, a := range must(send[roleList](roles, "GET", rolePath(guardedScope, "Assignments", ""), nil)).Value {
		found = found || strings.HasSuffix(assignment, a.Name)
	}
	check(found, "the assignment is not listed")
	r.Via = ownRequests
}

func stepAccepted(*result) {
	same(must(guest.GetKey(ctx, guarded, "", nil)).Key.KID.Name(), guarded)
	_, err := guest.GetKey(ctx, name+"rsa", "", nil)
	refused(err, http.StatusForbidden, "AccessDenied")
}

func stepAssignmentDelete(r *result) {
	must(send[role](roles, "DELETE", assignment, nil))
	guestIsRefused()
	r.Via = ownRequests
}

func stepNotFound(*result) {
	_, err := keys.GetKey(ctx, name+"never-made", "", nil)
	refused(err, http.StatusNotFound, "KeyNotFound")
}
