// Package peerselector decides which gateway an uplink uses.
//
// It is a pure state machine: (state, event, now) -> (state, actions). It does no I/O, starts no goroutine, reads no
// clock and draws its random numbers from a function that the caller hands in, so a test or a simulation of ten
// thousand nodes runs it in virtual time. The caller carries the actions out (package uplink) and feeds back what it
// sees.
//
// The method is a race in the manner of RFC 8305, at random: see README.md beside this file.
package peerselector
