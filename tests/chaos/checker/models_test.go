package main

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

func verdict(kind string, all ...operation) bool {
	return porcupine.CheckOperations(models[kind], relevant(kind, all))
}

func op(start, end int64, name, in, out string) operation {
	return operation{Op: name, In: in, Out: out, Start: start, End: end}
}

func TestRegister(t *testing.T) {
	ok := verdict("register", op(1, 2, "write", "a", "a"), op(3, 4, "write", "b", "b"), op(5, 6, "read", "", "b"))
	stale := verdict("register", op(1, 2, "write", "a", "a"), op(3, 4, "write", "b", "b"), op(5, 6, "read", "", "a"))
	late := verdict("register", op(1, 2, "write", "a", "a"), op(3, 4, "write", "b", "?"), op(5, 6, "read", "", "a"), op(7, 8, "read", "", "b"))
	back := verdict("register", op(1, 2, "write", "a", "a"), op(3, 4, "write", "b", "?"), op(5, 6, "read", "", "b"), op(7, 8, "read", "", "a"))
	never := verdict("register", op(1, 2, "write", "a", "a"), op(3, 4, "write", "b", "?"), op(5, 6, "read", "", "c"))
	if !ok || stale || !late || back || never {
		t.Fatal(ok, stale, late, back, never)
	}
}

func TestRole(t *testing.T) {
	granted := op(1, 2, "put", "n1", "ok")
	revoked := op(3, 4, "delete", "n1", "ok")
	ok := verdict("role", granted, revoked, op(5, 6, "use", "", "refused"), op(5, 6, "delete", "n1", "absent"))
	still := verdict("role", granted, revoked, op(5, 6, "use", "", "ok"))
	meanwhile := verdict("role", granted, op(3, 9, "delete", "n1", "ok"), op(5, 6, "use", "", "ok"))
	undone := verdict("role", granted, op(3, 9, "delete", "n1", "ok"), op(4, 5, "use", "", "refused"), op(6, 7, "use", "", "ok"))
	lost := verdict("role", granted, op(5, 6, "use", "", "refused"))
	landed := verdict("role", op(1, 2, "put", "n1", "?"), op(3, 4, "use", "", "refused"), op(5, 6, "use", "", "ok"))
	tries := []operation{granted}
	for i := int64(0); i < 40; i++ {
		tries = append(tries, op(3+i, 4+i, "delete", "n1", "?"))
	}
	tried := verdict("role", append(tries, op(50, 51, "use", "", "ok"), op(52, 53, "use", "", "refused"))...)
	back := verdict("role", append(tries, op(50, 51, "use", "", "refused"), op(52, 53, "use", "", "ok"))...)
	if !ok || still || !meanwhile || undone || lost || !landed || !tried || back {
		t.Fatal(ok, still, meanwhile, undone, lost, landed, tried, back)
	}
}

func TestLife(t *testing.T) {
	created := op(1, 2, "create", "", "ok")
	ok := verdict("life", created, op(3, 4, "delete", "", "ok"), op(5, 6, "create", "", "conflict"), op(7, 8, "recover", "", "ok"), op(9, 10, "get", "", "ok"))
	lost := verdict("life", created, op(3, 4, "get", "", "absent"))
	twice := verdict("life", created, op(3, 4, "delete", "", "ok"), op(5, 6, "delete", "", "ok"))
	if !ok || lost || twice {
		t.Fatal(ok, lost, twice)
	}
}
