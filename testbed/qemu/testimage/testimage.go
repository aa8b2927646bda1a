// Package testimage makes a small disk image that boots as OpenWrt's and Gluon's x86-64 images do, with a boot loader
// and a busybox shell on the serial console, so that the driver for a user's own image can be tested without one.
package testimage

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"wguplink/testbed/qemu/cpio"
	"wguplink/testbed/qemu/image"
)

// Sizes in MiB: the file system that the boot loader reads, and behind it room for /etc.
const (
	systemSize = 48
	allSize    = 56
)

const bootConfig = `SERIAL 0 115200
DEFAULT linux
PROMPT 0
LABEL linux
KERNEL vmlinuz
INITRD initrd
APPEND console=ttyS0 quiet loglevel=2 panic=-1
`

// What the machine runs. It keeps /etc behind its file system, as a router keeps it on its flash.
var scripts = map[string]string{
	"/init": `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /var /usr/bin /sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /run
ln -s /run /var/run
exec init
`,
	"/etc/init.d/rcS": fmt.Sprintf(`#!/bin/sh
for m in /modules/*.ko; do insmod "$m" 2>/dev/null; done
dd if=/dev/vda bs=1M skip=%d 2>/dev/null | tar -x -C / 2>/dev/null
ip link set lo up
mkdir -p /etc/config /run/wguplink
`, systemSize),
	"/etc/init.d/rcK": fmt.Sprintf(`#!/bin/sh
cd / && tar -c etc usr/bin/wguplink | dd of=/dev/vda bs=1M seek=%d conv=notrunc 2>/dev/null
sync
`, systemSize),
	"/etc/inittab": `::sysinit:/etc/init.d/rcS
::askfirst:/bin/sh
::shutdown:/etc/init.d/rcK
`,
}

// Make makes the image from the amd64 kernel. dir is for what is in between. It needs Debian's syslinux and mtools.
func Make(k image.Kernel, dir, name string) error {
	initrd, config := filepath.Join(dir, "initrd"), filepath.Join(dir, "syslinux.cfg")
	if err := writeInitrd(k, initrd); err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(config, []byte(bootConfig), 0o644), os.WriteFile(name, nil, 0o644),
		os.Truncate(name, systemSize<<20)); err != nil {
		return fmt.Errorf("stand-in image: %w", err)
	}
	const sectors = "98304" // of 512 bytes; systemSize in all
	for _, argv := range [][]string{
		{"mformat", "-i", name, "-T", sectors, "-h", "64", "-s", "32", "::"},
		{"syslinux", "--install", name},
		{"mcopy", "-i", name, k.Path, "::vmlinuz"},
		{"mcopy", "-i", name, initrd, "::initrd"},
		{"mcopy", "-i", name, config, "::syslinux.cfg"},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("stand-in image: %s: %w: %s", strings.Join(argv, " "), err, out)
		}
	}
	if err := os.Truncate(name, allSize<<20); err != nil {
		return fmt.Errorf("stand-in image: %w", err)
	}
	return nil
}

func writeInitrd(k image.Kernel, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("stand-in image: %w", err)
	}
	defer f.Close()
	a := cpio.New(f)
	if err := errors.Join(a.Char("/dev/console", 0o600, 5, 1),
		a.File("/etc/passwd", 0o644, []byte("root:x:0:0:root:/tmp:/bin/sh\n"))); err != nil {
		return fmt.Errorf("stand-in image: %w", err)
	}
	for to, text := range scripts {
		if err := a.File(to, 0o755, []byte(text)); err != nil {
			return fmt.Errorf("stand-in image: %w", err)
		}
	}
	files := map[string]string{"/bin/busybox": k.Busybox}
	for _, m := range k.Modules {
		files["/modules/"+filepath.Base(m)] = m
	}
	for to, from := range files {
		b, err := os.ReadFile(from)
		if err == nil {
			err = a.File(to, 0o755, b)
		}
		if err != nil {
			return fmt.Errorf("stand-in image: %w", err)
		}
	}
	if err := errors.Join(a.Close(), f.Close()); err != nil {
		return fmt.Errorf("stand-in image: %w", err)
	}
	return nil
}
