// Is a history linearizable? HISTORY is one request a line, in JSON; its objects ("register/r0", "role/w1", "life/l2")
// are independent of each other and are checked one by one. Exit status: 0 they all are, 1 one is not (a picture of it
// goes to HISTORY-OBJECT.html), 2 one could not be decided in time, 3 something else is wrong.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

const limit = 120 * time.Second

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}

func load(path string) map[string][]operation {
	f, err := os.Open(path)
	if err != nil {
		fail(err)
	}
	defer f.Close()
	objects := map[string][]operation{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var o operation
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			fail(fmt.Errorf("%s: %w", lines.Text(), err))
		}
		objects[o.Object] = append(objects[o.Object], o)
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
	return objects
}

// What is checked: a read without an outcome says nothing; a write without one may take effect at any later time. In a
// register that nobody ever saw with its value, it need not have happened. An assignment is deleted once: of several
// deletions without an outcome the first can do what any of them did.
func relevant(kind string, all []operation) []porcupine.Operation {
	seen := map[string]bool{}
	for _, o := range all {
		if o.Op == "read" {
			seen[o.Out] = true
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Start < all[j].Start })
	deleted := map[string]bool{}
	var ret []porcupine.Operation
	for _, o := range all {
		end := o.End
		if o.Out == unknown {
			reads := o.Op == "read" || o.Op == "use" || o.Op == "get"
			if reads || kind == "register" && !seen[o.In] {
				continue
			}
			if kind == "role" && o.Op == "delete" {
				if deleted[o.In] {
					continue
				}
				deleted[o.In] = true
			}
			end = math.MaxInt64
		}
		ret = append(ret, porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Start, Return: end})
	}
	return ret
}

func check(path, object string, all []operation) int {
	kind, _, _ := strings.Cut(object, "/")
	m, known := models[kind]
	if !known {
		fail(fmt.Errorf("no model for %s", object))
	}
	history := relevant(kind, all)
	began := time.Now()
	result, info := porcupine.CheckOperationsVerbose(m, history, limit)
	fmt.Printf("%-16s %6d of %6d requests  %-8s %.2f s\n", object, len(history), len(all), result, time.Since(began).Seconds())
	switch result {
	case porcupine.Illegal:
		picture := path + "-" + strings.ReplaceAll(object, "/", "-") + ".html"
		if err := porcupine.VisualizePath(m, info, picture); err != nil {
			fail(err)
		}
		fmt.Println("    see", picture)
		return 1
	case porcupine.Unknown:
		return 2
	}
	return 0
}

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: checker HISTORY"))
	}
	objects := load(os.Args[1])
	names := []string{}
	for n := range objects {
		names = append(names, n)
	}
	sort.Strings(names)
	worst := 0
	for _, n := range names {
		if r := check(os.Args[1], n, objects[n]); r == 1 || worst == 0 {
			worst = r
		}
	}
	os.Exit(worst)
}
