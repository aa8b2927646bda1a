// Package lowmem keeps the agent small in memory: it collects garbage early, and gives back what it does not need for
// now.
package lowmem

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// Quiet is how long nothing has changed when memory is to be given back: a registration or a measurement of the MTU may
// go on for a moment after a gateway was found.
const Quiet = 5 * time.Second

// Brief is the same after a check of the kernel's state that has changed nothing.
const Brief = time.Second

// Release gives back the memory that the way to a gateway has taken, or a check of the kernel's state: garbage, and the
// program's pages. Of those the way takes most of what there is (TLS, JSON, names), and the time after it little. They
// stay in the page cache while no program needs the room, and come back from there when they are needed.
func (p *Program) Release() error {
	debug.FreeOSMemory()
	return p.Shed()
}

// fixedAddress says that a program's addresses are those of its file: its type is ET_EXEC (elf(5)).
func fixedAddress(program io.ReaderAt) (bool, error) {
	var head [18]byte
	if _, err := program.ReadAt(head[:], 0); err != nil {
		return false, fmt.Errorf("program: %w", err)
	}
	const data, msb, typ, exec = 5, 2, 16, 2
	order := binary.ByteOrder(binary.LittleEndian)
	if head[data] == msb {
		order = binary.BigEndian
	}
	return order.Uint16(head[typ:]) == exec, nil
}

// constant finds in proc_pid_maps(5) where a program's code and constants are: what it cannot write to.
func constant(maps io.Reader, program string) (ranges [][2]uintptr, err error) {
	s := bufio.NewScanner(maps)
	for s.Scan() {
		// address perms offset dev inode pathname
		f := strings.Fields(s.Text())
		if len(f) < 6 || f[5] != program || f[1] != "r-xp" && f[1] != "r--p" {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		begin, err1 := strconv.ParseUint(from, 16, strconv.IntSize)
		end, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
		if err := errors.Join(err1, err2); err != nil || end <= begin {
			return nil, fmt.Errorf("maps: %q: %w", f[0], err)
		}
		ranges = append(ranges, [2]uintptr{uintptr(begin), uintptr(end)})
	}
	return ranges, s.Err()
}
