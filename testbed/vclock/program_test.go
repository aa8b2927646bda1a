package vclock_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// helperEnv makes the test binary the program under test.
const helperEnv = "VCLOCK_TEST_HELPER"

// noSleep spares programs built with the race detector its second at exit.
const noSleep = "GORACE=atexit_sleep_ms=0"

// target is the time that programs set.
var target = time.Date(2033, 3, 3, 3, 3, 3, 0, time.UTC)

// report is what a program under test says, as JSON.
type report struct {
	PID       int
	Child     int
	Times     map[string]time.Time
	Monotonic time.Duration // CLOCK_MONOTONIC
	Errors    map[string]string
	Adjtime   adjtime
}

type adjtime struct {
	State    int
	Unsync   bool
	Maxerror int64
}

func program(name string) int {
	r := report{PID: os.Getpid(), Times: map[string]time.Time{"now": time.Now().UTC()}, Errors: map[string]string{}}
	err := r.do(name)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (r *report) do(name string) error {
	ts := unix.NsecToTimespec(target.UnixNano())
	tv := unix.NsecToTimeval(target.UnixNano())
	// A kernel takes microseconds below 1e6 with the seconds rounded down.
	offset := target.Unix() - time.Now().Unix()
	jump := &unix.Timex{Modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO, Time: unix.Timeval{Sec: offset}}
	switch name {
	case "child":
		return nil
	case "read":
		return r.read()
	case "clock_settime":
		return r.set(unix.ClockSettime(unix.CLOCK_REALTIME, &ts))
	case "settimeofday":
		return r.set(unix.Settimeofday(&tv))
	case "adjtimex":
		_, err := unix.Adjtimex(jump)
		return r.set(err)
	case "clock_adjtime":
		_, err := unix.ClockAdjtime(unix.CLOCK_REALTIME, jump)
		return r.set(err)
	case "refused":
		r.refused()
		return nil
	case "status":
		return r.status(&unix.Timex{})
	case "synchronise":
		err := r.status(&unix.Timex{Modes: unix.ADJ_STATUS | unix.ADJ_MAXERROR, Maxerror: 1234, Status: unix.STA_PLL})
		if err != nil {
			return err
		}
		return r.status(&unix.Timex{})
	case "exec":
		cmd := exec.Command("/bin/true", "an argument", "")
		if err := cmd.Run(); err != nil {
			return err
		}
		r.Child = cmd.Process.Pid
		_ = syscall.Exec("/nowhere", []string{"/nowhere"}, nil)
		null, err := os.Open("/dev/null")
		if err != nil {
			return err
		}
		defer null.Close()
		_ = execveat(null)
		return nil
	case "signals":
		return signals()
	case "spin":
		return spin()
	}
	return fmt.Errorf("no such program: %s", name)
}

// set reports the time that this process and a child see after setting it.
func (r *report) set(err error) error {
	if err != nil {
		return err
	}
	r.Times["now"] = time.Now().UTC()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperEnv+"=child")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("child: %w", err)
	}
	var child report
	if err := json.Unmarshal(out, &child); err != nil {
		return fmt.Errorf("child: %w", err)
	}
	r.Times["child"] = child.Times["now"]
	return nil
}

// read asks for the time in every way there is.
func (r *report) read() error {
	for name, id := range map[string]int32{
		"realtime": unix.CLOCK_REALTIME, "coarse": unix.CLOCK_REALTIME_COARSE,
		"alarm": unix.CLOCK_REALTIME_ALARM, "tai": unix.CLOCK_TAI,
	} {
		var ts unix.Timespec
		if err := unix.ClockGettime(id, &ts); err != nil {
			return fmt.Errorf("clock_gettime %s: %w", name, err)
		}
		r.Times[name] = time.Unix(ts.Unix()).UTC()
	}
	var tv unix.Timeval
	zone := [2]int32{1, 1}
	if _, _, errno := unix.Syscall(unix.SYS_GETTIMEOFDAY, uintptr(unsafe.Pointer(&tv)), uintptr(unsafe.Pointer(&zone)),
		0); errno != 0 || zone != [2]int32{} {
		return fmt.Errorf("gettimeofday: %w, time zone %v", errno, zone)
	}
	r.Times["gettimeofday"] = time.Unix(tv.Unix()).UTC()
	if err := r.oldTime(); err != nil {
		return err
	}

	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return err
	}
	r.Monotonic = time.Duration(mono.Nano())
	return nil
}

// refused tries what must not work, and what must do nothing.
func (r *report) refused() {
	set := func(name string, clock int32, ts unix.Timespec) {
		r.Errors[name] = text(unix.ClockSettime(clock, &ts))
	}
	set("negative seconds", unix.CLOCK_REALTIME, unix.Timespec{Sec: -1})
	set("too many nanoseconds", unix.CLOCK_REALTIME, unix.Timespec{Sec: 1, Nsec: 1e9})
	set("far future", unix.CLOCK_REALTIME, unix.Timespec{Sec: 1 << 40})
	set("another clock", unix.CLOCK_MONOTONIC, unix.Timespec{Sec: 1})
	call := func(name string, nr, a, b uintptr) {
		_, _, errno := unix.Syscall(nr, a, b, 0)
		r.Errors[name] = ""
		if errno != 0 {
			r.Errors[name] = errno.Error()
		}
	}
	call("bad pointer", unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, 8)
	call("bad pointer to read into", unix.SYS_CLOCK_GETTIME, unix.CLOCK_REALTIME, 8)
	call("bad pointer to adjust", unix.SYS_ADJTIMEX, 8, 0)
	zone := [2]int32{60, 0}
	call("time zone alone", unix.SYS_SETTIMEOFDAY, 0, uintptr(unsafe.Pointer(&zone)))
	r.Errors["too many microseconds"] = text(unix.Settimeofday(&unix.Timeval{Sec: 1, Usec: 1e6}))
	_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_SETOFFSET, Time: unix.Timeval{Usec: -1}})
	r.Errors["negative adjustment"] = text(err)
	_, err = unix.ClockAdjtime(unix.CLOCK_MONOTONIC, &unix.Timex{})
	r.Errors["adjust another clock"] = text(err)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (r *report) status(tx *unix.Timex) error {
	state, err := unix.Adjtimex(tx)
	if err != nil {
		return err
	}
	r.Adjtime = adjtime{state, tx.Status&unix.STA_UNSYNC != 0, tx.Maxerror}
	r.Times["adjtimex"] = time.Unix(tx.Time.Sec, tx.Time.Usec*1000).UTC()
	return nil
}

func execveat(f *os.File) error {
	empty, arg := []byte{0}, []byte("x\x00")
	argv := []*byte{&arg[0], nil}
	_, _, errno := unix.Syscall6(unix.SYS_EXECVEAT, f.Fd(), uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&argv[0])), 0, unix.AT_EMPTY_PATH, 0)
	return errno
}

// sets is how often signals sets the clock.
const sets = 300

// signals sets the clock while signals try to interrupt it.
func signals() error {
	done := make(chan struct{})
	defer close(done)
	runtime.LockOSThread()
	pid, tid := unix.Getpid(), unix.Gettid()
	go func() {
		for {
			select {
			case <-done:
				return
			default:
				_ = unix.Tgkill(pid, tid, unix.SIGURG)
			}
		}
	}()
	for i := range sets {
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &unix.Timespec{Sec: target.Unix() + int64(i)}); err != nil {
			return err
		}
	}
	return nil
}

// spin uses the clock on several threads until it is killed.
func spin() error {
	for range 3 {
		go func() {
			for {
				_ = time.Now()
			}
		}()
	}
	fmt.Println("spinning")
	for {
		ts := unix.NsecToTimespec(time.Now().UnixNano())
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
			return err
		}
	}
}
