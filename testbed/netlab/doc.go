// Package netlab builds small networks of hosts on one Linux machine and runs
// real programs on them.
//
// Main moves the whole process, a command or a test binary, into mount, pid,
// network, UTS and IPC namespaces of its own:
//
//	outer process          waits, forwards signals, passes on the exit code
//	└─ init (pid 1)        reaps orphans; dies with the outer process
//	   └─ run              the command or the tests: Lab, servers, scenarios
//	      ├─ program       under test, on a Host
//	      └─ ...
//
// However the outer process ends, SIGKILL included, the kernel then ends init,
// with it every process inside, and with these the namespaces, links and
// mounts. Nothing is ever made on the machine itself, and CAP_SYS_TIME is
// dropped on the way in, so that nothing inside can set the machine's clock.
//
// A Host is a network namespace and a mount namespace: a router's interfaces
// and its /etc, /run and /tmp. Programs started on it live in both; code of the
// lab enters them with Do and Inside, or opens sockets with Listen,
// ListenPacket and Dial.
package netlab
