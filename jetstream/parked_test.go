package jetstream

import (
	"slices"
	"testing"
)

// Of the streams that take no messages those go that are nobody's, and no others.
func TestParkedStreams(t *testing.T) {
	srv := newServer(t, nil)
	a := openLog(t, newStore(t, srv, nil))
	mine, err := a.register.write(ctxOf(t), topicRecord{Topic: "creating", State: creating}, topicEntry{})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for topic, generation := range map[string]uint64{"creating": mine.Sequence, "nobody's": 7, "had messages": 8, "open": 9} {
		config := a.dedicatedStream(topic, generation, a.policyOf("x"))
		if topic != "nobody's" {
			want = append(want, config.Name)
		}
		if topic == "had messages" {
			if _, err := a.link.js.CreateStream(ctxOf(t), config); err != nil {
				t.Fatal(err)
			}
			if _, err := a.link.js.Publish(ctxOf(t), config.Subjects[0], nil); err != nil {
				t.Fatal(err)
			}
		}
		if topic != "open" {
			config.Subjects = parked(config.Name)
		}
		if topic == "had messages" {
			_, err = a.link.js.UpdateStream(ctxOf(t), config)
		} else {
			_, err = a.link.js.CreateStream(ctxOf(t), config)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := a.deleteAllParked(ctxOf(t), parkedAge); err != nil {
		t.Fatal(err)
	}
	if got := streamsOf(t, a); len(got) != 4 {
		t.Errorf("streams %q, all of them are young", got)
	}
	if err := a.deleteAllParked(ctxOf(t), 0); err != nil {
		t.Fatal(err)
	}
	got := streamsOf(t, a)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("streams %q, want %q", got, want)
	}
}
