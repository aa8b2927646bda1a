// Package vclock gives programs under test a CLOCK_REALTIME of their own.
//
// The program runs unmodified under a seccomp filter. Calls that would set or
// steer the machine's clock are answered by a supervisor in this process and
// move a virtual clock instead; the kernel never sees them, so no program
// under the filter can change the machine's time. The filter is inherited by
// every process the program starts, and several programs may share one Clock.
//
// What the filter hands to the supervisor:
//
//   - clock_settime, settimeofday, adjtimex, clock_adjtime: answered here;
//   - clock_gettime of the wall clocks, gettimeofday, time: answered with the
//     virtual time; monotonic clocks stay with the kernel, unnoticed;
//   - execve, execveat: counted, then let through.
//
// Go reads the wall clock through the vDSO, which makes no system call. A
// program whose Clock is to differ from the machine's must therefore run from
// a copy made by Prepare, in which Go's runtime falls back to system calls.
// C programs (date, a shell) keep reading the machine's time.
//
// Not virtual: file time stamps, timers and sleeps that are absolute on
// CLOCK_REALTIME, and the kernel's own use of the time (the handshake stamps
// of a kernel WireGuard device). Programs of a foreign ABI (32-bit on a 64-bit
// kernel) are killed by the filter, as their calls have other numbers.
package vclock
