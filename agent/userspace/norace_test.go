//go:build userspace && !race

package userspace

// raceFactor is 1 without the race detector.
const raceFactor = 1
