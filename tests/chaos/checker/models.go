package main

import (
	"fmt"
	"sort"
	"strings"

	"github.com/anishathalye/porcupine"
)

// One request as the client saw it. Out is "?" when nothing is known of its outcome.
type operation struct {
	Object string `json:"object"`
	Op     string `json:"op"`
	In     string `json:"in"`
	Out    string `json:"out"`
	Client int    `json:"client"`
	Start  int64  `json:"start"`
	End    int64  `json:"end"`
}

const unknown = "?"

func describe(input, output interface{}) string {
	o := input.(operation)
	return fmt.Sprintf("%s(%s) -> %s", o.Op, o.In, o.Out)
}

func model(init string, step func(state string, o operation) (string, string)) porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return init },
		Step: func(state, input, _ interface{}) (bool, interface{}) {
			o := input.(operation)
			next, out := step(state.(string), o)
			return o.Out == unknown || o.Out == out, next
		},
		DescribeOperation: describe,
	}
}

// Each step says what follows and what the answer is then.

// The tag of a key: read, write.
func register(state string, o operation) (string, string) {
	if o.Op == "write" {
		return o.In, o.In
	}
	return state, state
}

// The role assignments of one principal at one scope: put and delete by name, use of the right. One of them at a
// time; the state is the names that are there.
func role(state string, o operation) (string, string) {
	names := map[string]bool{}
	for _, n := range strings.Fields(state) {
		names[n] = true
	}
	switch o.Op {
	case "put":
		if len(names) > 0 {
			return state, "exists"
		}
		return o.In, "ok"
	case "delete":
		if !names[o.In] {
			return state, "absent"
		}
		delete(names, o.In)
		rest := []string{}
		for n := range names {
			rest = append(rest, n)
		}
		sort.Strings(rest)
		return strings.Join(rest, " "), "ok"
	}
	if len(names) > 0 {
		return state, "ok"
	}
	return state, "refused"
}

// The life of a key: create, delete, recover, get.
func life(state string, o operation) (string, string) {
	switch o.Op + " " + state {
	case "create absent", "create live":
		return "live", "ok"
	case "create deleted":
		return state, "conflict"
	case "delete live":
		return "deleted", "ok"
	case "recover deleted":
		return "live", "ok"
	case "get live":
		return state, "ok"
	}
	return state, "absent"
}

var models = map[string]porcupine.Model{
	"register": model("", register),
	"role":     model("", role),
	"life":     model("absent", life),
}
