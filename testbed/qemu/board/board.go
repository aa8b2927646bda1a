// Package board knows the machines that QEMU can be, one for each architecture.
package board

import (
	"fmt"
	"strconv"
	"strings"
)

// Board is one kind of machine.
type Board struct {
	Arch   string // as `make qemu` calls it
	Target string // as scripts/cross calls it
	// Script, below scripts/, prints where the kernel lies; with ScriptArgs.
	Script     string
	ScriptArgs []string

	program string
	args    []string
	console string
	nic     string
	drive   string   // of -drive
	driver  []string // more arguments for it

	Disk string // the drive's device in the machine
	// NoModules says that everything is in the kernel, WireGuard included.
	NoModules bool
	// Flash says that the kernel reads squashfs with xz.
	Flash bool
}

// All boards, the quickest first.
var All = []Board{
	{
		Arch: "amd64", Target: "amd64", Script: "kernel-debian", ScriptArgs: []string{"amd64"},
		program: "qemu-system-x86_64", args: []string{"-accel", "tcg", "-cpu", "max", "-m", "256"}, console: "ttyS0",
		nic: "virtio-net-pci", drive: "if=virtio", Disk: "/dev/vda", Flash: true,
	},
	{
		Arch: "arm64", Target: "arm64", Script: "kernel-debian", ScriptArgs: []string{"arm64"},
		program: "qemu-system-aarch64", args: []string{"-M", "virt", "-accel", "tcg", "-cpu", "cortex-a53", "-m",
			"256"}, console: "ttyAMA0",
		nic: "virtio-net-device", drive: "if=none,id=disk", driver: []string{"-device", "virtio-blk-device,drive=disk"},
		Disk: "/dev/vda",
	},
	{
		Arch: "arm", Target: "armv7", Script: "kernel-debian", ScriptArgs: []string{"arm"},
		program: "qemu-system-arm", args: []string{"-M", "virt", "-accel", "tcg", "-cpu", "cortex-a7", "-m", "256"},
		console: "ttyAMA0",
		nic:     "virtio-net-device", drive: "if=none,id=disk",
		driver: []string{"-device", "virtio-blk-device,drive=disk"},
		Disk:   "/dev/vda",
	},
	{
		Arch: "mipsel", Target: "mipsle", Script: "kernel-debian", ScriptArgs: []string{"mipsel"},
		program: "qemu-system-mipsel", args: []string{"-M", "malta", "-accel", "tcg", "-cpu", "24Kf", "-m", "256"},
		console: "ttyS0",
		nic:     "pcnet", drive: "if=ide", Disk: "/dev/sda", Flash: true,
	},
	{
		Arch: "mips", Target: "mips", Script: "kernel-mips", NoModules: true,
		program: "qemu-system-mips", args: []string{"-M", "malta", "-accel", "tcg", "-cpu", "24Kf", "-m", "128"},
		console: "ttyS0",
		nic:     "pcnet", drive: "if=ide", Disk: "/dev/sda", Flash: true,
	},
}

// Of gives the board of an architecture.
func Of(arch string) (Board, error) {
	for _, b := range All {
		if b.Arch == arch {
			return b, nil
		}
	}
	return Board{}, fmt.Errorf("no architecture %q; there are amd64, arm64, arm, mipsel and mips", arch)
}

// String names the machine for a report.
func (b Board) String() string { return strings.Join(append([]string{b.program}, b.args...), " ") }

// Boot is what a machine boots from.
type Boot struct {
	Kernel, Initrd string
	Drive          string // file of a disk; "" for none
	Own, Peer      string // socket files of the wire's ends
	MAC            string
	Memory         int // MiB; 0: as much as the board usually has
	// Append are more words for the kernel's command line.
	Append string
	// Epoch starts the machine's clock in 1970, as that of a router without a clock chip.
	Epoch bool
	// Count has the machine's clock count instructions, a nanosecond for each (-icount). It stands still with the
	// processor, and waits with the host's for a timer.
	Count bool
}

// ImageCommand is the QEMU that boots an image of OpenWrt or Gluon: a disk, or a kernel that needs nothing else. It
// goes off where it would reboot.
func (b Board) ImageCommand(o Boot) (program string, args []string) {
	args = append(args, b.args...)
	args = append(args, "-nodefaults", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-rtc",
		"base=1970-01-01T00:01:00")
	args = append(args, Wire(b.nic, o.Own, o.Peer, o.MAC)...)
	if o.Kernel != "" {
		return b.program, append(args, "-kernel", o.Kernel)
	}
	return b.program, append(append(args, "-drive", "format=raw,file="+o.Drive+","+b.drive), b.driver...)
}

// Command is the QEMU that boots a machine, with its console on standard input and output. It goes off where it would
// reboot.
func (b Board) Command(o Boot) (program string, args []string) {
	args = append([]string{}, b.args...)
	if o.Memory != 0 {
		args = append(args, "-m", strconv.Itoa(o.Memory)) // the last one counts
	}
	args = append(args, "-nodefaults", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", o.Kernel, "-initrd", o.Initrd,
		"-append", strings.TrimSpace(fmt.Sprintf("console=%s quiet loglevel=2 panic=-1 rdinit=/init %s",
			b.console, o.Append)))
	args = append(args, Wire(b.nic, o.Own, o.Peer, o.MAC)...)
	if o.Drive != "" {
		args = append(args, "-drive", "format=raw,file="+o.Drive+","+b.drive)
		args = append(args, b.driver...)
	}
	if o.Epoch {
		args = append(args, "-rtc", "base=1970-01-01T00:01:00")
	}
	if o.Count {
		args = append(args, "-icount", "shift=0,sleep=on")
	}
	return b.program, args
}

// Wire is a network card at one end of a wire that is two sockets.
func Wire(nic, own, peer, mac string) []string {
	return []string{
		"-netdev", fmt.Sprintf("dgram,id=wire,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s", own,
			peer),
		"-device", fmt.Sprintf("%s,netdev=wire,mac=%s", nic, mac),
	}
}
