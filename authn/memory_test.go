package authn

import "testing"

func TestMemoryIsBoundedAndForgetsTheUnused(t *testing.T) {
	m := memory{max: 8}
	id := func(i int) mac { return mac{byte(i), byte(i >> 8)} }
	if m.has(id(0)) {
		t.Fatal("an empty memory has something")
	}
	m.add(id(0))
	for i := 1; i < 1000; i++ {
		m.add(id(i))
		if !m.has(id(i)) {
			t.Fatalf("%d was forgotten at once", i)
		}
		if !m.has(id(0)) {
			t.Fatalf("what is looked for all the time was forgotten after %d others", i)
		}
		if n := len(m.young) + len(m.old); n > m.max {
			t.Fatalf("%d remembered, the maximum is %d", n, m.max)
		}
	}
	if m.has(id(1)) || !m.has(id(999)) {
		t.Error("the wrong ones were forgotten")
	}
}
