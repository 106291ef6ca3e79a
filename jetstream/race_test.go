//go:build race

package jetstream

// raceEnabled tells that everything takes its time, the server included.
const raceEnabled = true
