//go:build userspace && race

package userspace

// raceFactor is what the race detector multiplies memory with.
const raceFactor = 4
