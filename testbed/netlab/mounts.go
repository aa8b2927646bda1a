package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// labMounts makes the lab's mount namespace its own: nothing propagates out,
// /proc shows the lab's processes, /run is empty.
func labMounts() error {
	if err := noChroot(); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return mountRun()
}

// mountRun mounts an empty /run, and /var/run over it where that is a
// directory of its own.
func mountRun() error {
	if err := tmpfs("/run", "mode=0755"); err != nil {
		return err
	}
	fi, err := os.Lstat("/var/run")
	if err != nil || !fi.IsDir() {
		return nil
	}
	if err := unix.Mount("/run", "/var/run", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind /run on /var/run: %w", err)
	}
	return nil
}

func tmpfs(dir, options string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
	}
	return nil
}

// errChroot is why the lab does not run in a chroot. Entering a mount namespace leaves it, and what is then below /etc,
// /run and /tmp is not the lab's but the machine's.
var errChroot = errors.New(
	"this is a chroot, which entering a mount namespace leaves, so that the lab would write into the " +
		"machine's own /etc: run it outside, or in a container whose root is the root of its mounts (unshare and " +
		"pivot_root, " +
		"systemd-nspawn)")

// noChroot enters the mount namespace that the process is in already, and looks whether the root is still the same.
func noChroot() error {
	before, err := rootMount()
	if err != nil {
		return fmt.Errorf("look for a chroot: %w", err)
	}
	ns, err := unix.Open("/proc/self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("look for a chroot: %w", err)
	}
	defer unix.Close(ns)
	var after rootID
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Setns(ns, unix.CLONE_NEWNS); err != nil {
			return err
		}
		after, err = rootMount()
		return err
	})
	if err != nil {
		return fmt.Errorf("look for a chroot: %w", err)
	}
	if before != after {
		return errChroot
	}
	return nil
}

// rootID tells root folders apart, those too that are two mounts of one file system.
type rootID struct{ mount, inode uint64 }

// rootMount gives the calling thread's root.
func rootMount() (rootID, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_INO|unix.STATX_MNT_ID, &st); err != nil {
		return rootID{}, fmt.Errorf("look at the root folder: %w", err)
	}
	return rootID{st.Mnt_id, st.Ino}, nil
}

// ownMounts are the file systems that a host does not share with the machine, by folder.
type ownMounts map[string]uint64

// lookMounts gives those that the calling thread sees.
func lookMounts() (ownMounts, error) {
	own := ownMounts{}
	for _, dir := range []string{"/etc", "/run", "/tmp"} {
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			return nil, fmt.Errorf("look at the host's %s: %w", dir, err)
		}
		own[dir] = uint64(st.Dev)
	}
	return own, nil
}

// check refuses when the calling thread, after it has entered the host, sees others.
func (own ownMounts) check() error {
	now, err := lookMounts()
	if err != nil {
		return err
	}
	for dir, dev := range own {
		if now[dir] != dev {
			return fmt.Errorf("the %s that is seen inside the host is not the host's: nothing is done there", dir)
		}
	}
	return nil
}

// hostMounts gives the calling thread a new mount namespace with the files of
// a router and returns a descriptor that holds it. The thread is already in
// the host's network namespace, which the new /sys will show.
func hostMounts() (ns int, own ownMounts, err error) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return -1, nil, fmt.Errorf("new mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return -1, nil, fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return -1, nil, fmt.Errorf("mount /sys: %w", err)
	}
	if err := volatile(); err != nil {
		return -1, nil, err
	}
	if err := hostEtc(); err != nil {
		return -1, nil, err
	}
	ns, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, fmt.Errorf("hold mount namespace: %w", err)
	}
	if own, err = lookMounts(); err != nil {
		unix.Close(ns)
		return -1, nil, err
	}
	return ns, own, nil
}

// volatile mounts the folders that a reboot empties.
func volatile() error {
	if err := mountRun(); err != nil {
		return err
	}
	return tmpfs("/tmp", "mode=1777")
}

// The parts of the machine's /etc that programs on a host may need: names for
// numbers, the trusted certificates, the loader's cache.
var (
	etcCopies = []string{"passwd", "group", "services", "protocols", "localtime", "ld.so.cache", "ld.so.conf"}
	etcBinds  = []string{"ssl", "pki", "ca-certificates", "alternatives", "ld.so.conf.d"}
	etcFiles  = map[string]string{
		"hosts":         "127.0.0.1\tlocalhost\n::1\tlocalhost\n",
		"resolv.conf":   "",
		"nsswitch.conf": "hosts: files dns\n",
		"hostname":      "lab\n",
	}
	etcDirs = []string{"config", "wguplink"}
)

// hostEtc replaces /etc by one that is the host's own and writable, with only
// what a program needs of the machine's.
func hostEtc() error {
	const stage = "/tmp/.etc"
	if err := os.Mkdir(stage, 0o755); err != nil {
		return fmt.Errorf("make host's /etc: %w", err)
	}
	if err := tmpfs(stage, "mode=0755"); err != nil {
		return err
	}
	for _, name := range etcCopies {
		b, err := os.ReadFile(filepath.Join("/etc", name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(stage, name), b, 0o644)
		}
		if err != nil {
			return fmt.Errorf("make host's /etc: %w", err)
		}
	}
	for name, content := range etcFiles {
		if err := os.WriteFile(filepath.Join(stage, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("make host's /etc: %w", err)
		}
	}
	for _, name := range etcDirs {
		if err := os.Mkdir(filepath.Join(stage, name), 0o755); err != nil {
			return fmt.Errorf("make host's /etc: %w", err)
		}
	}
	for _, name := range etcBinds {
		from, to := filepath.Join("/etc", name), filepath.Join(stage, name)
		if fi, err := os.Stat(from); err != nil || !fi.IsDir() {
			continue
		}
		if err := os.Mkdir(to, 0o755); err != nil {
			return fmt.Errorf("make host's /etc: %w", err)
		}
		if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("bind %s: %w", from, err)
		}
		if err := unix.Mount("", to, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("make %s read-only: %w", from, err)
		}
	}
	if err := unix.Mount(stage, "/etc", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("mount host's /etc: %w", err)
	}
	return os.Remove(stage)
}

// cloneTree returns a descriptor of a mount of path, as the calling thread
// sees it, that attachTree can put into another mount namespace.
func cloneTree(path string) (fd int, err error) {
	fd, err = unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("netlab: open %s for a bind mount: %w", path, err)
	}
	return fd, nil
}

func attachTree(fd int, target string) error {
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount on %s: %w", target, err)
	}
	return nil
}
