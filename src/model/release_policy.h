/* Release policies of exportable keys: who (an attestation authority) must say what (claims) about
 * an environment before it gets the key. Grammar, version 1.0.0: policy
 * {"version":"1.0.0","anyOf":[authority, ...]} authority {"authority":"https://...", SELECTOR}
 *   condition {"claim":"a.b.c","equals":string|number|true|false}  or  {SELECTOR}
 *   SELECTOR  exactly one of "anyOf":[condition, ...], "allOf":[condition, ...]
 * No list is empty, and nothing else may be in it: what we did not understand could be what
 * mattered to its author. Versions 0.2 and 1.0 were those of previews, with the same grammar. Pure.
 */
#ifndef MODEL_RELEASE_POLICY_H
#define MODEL_RELEASE_POLICY_H

#include "codec/json.h"

#define RELEASE_POLICY_MAX    65536 /* bytes of text */
#define RELEASE_POLICY_TOKENS 8192

/* Append the policy's canonical text: members sorted, no white space, never longer than the given
 * one. toks[RELEASE_POLICY_TOKENS] is the caller's. HSM_E_BAD_PARAMETER with *why, a static text
 * for the client. */
HSM_MUST_USE hsm_err release_policy_canonical(struct bytes text, struct json_tok *toks,
                                              struct wr *out, const char **why);

#endif
