// Package hooks runs the executables of a folder when an uplink comes up, goes down or changes, so that a community can
// adapt the rest of the router (addresses of the client bridge, DHCP, firewall) without a change of this program.
//
// # What a hook can rely on
//
// It gets the event as its only argument, the fields of Event in its environment, and the same as one line of JSON on
// its standard input. Hooks run one at a time, for all uplinks together, in byte order of their names; each runs to its
// end, or until its time is over. Its output goes to the log, line by line.
//
// A hook is told the latest state, not the history: while events of one uplink wait, only the last of them stays. So a
// hook may see up twice in a row, or down without an up before it, and must do the same again without harm. It never
// sees a change before the up that was waiting: that change arrives as up. The last event posted always runs, also when
// it equals the one before.
//
// One event is beside these: stranded, once, when an uplink has not worked since a firmware update. A hook that does
// not know it must leave it alone.
//
// # What is run
//
// A file is a hook when it is a regular file (or a link to one) with a permission to execute, and its name is neither
// hidden nor that of a backup or of a package manager's leftover. As the agent runs it as root, a file that another
// user owns, or that group or others may write, is refused with one warning.
package hooks
