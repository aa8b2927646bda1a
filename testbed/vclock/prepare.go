package vclock

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// Prepare writes to out a copy of the Go program binary that reads the wall
// clock by system calls. It changes the names under which the runtime looks
// for the vDSO's functions to others of the same length; not finding them, the
// runtime makes system calls, the path it has for kernels without a vDSO.
// Nothing else differs, so size, layout and behaviour are the original's.
// Programs that this one starts must be prepared too, as a re-execution of
// /proc/self/exe is.
func Prepare(binary, out string) error {
	b, err := os.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("vclock: read program: %w", err)
	}
	for _, name := range vdsoNames {
		if !bytes.Contains(b, []byte(name[0])) {
			return fmt.Errorf(
				"vclock: %s does not contain %q: not a Go program for this architecture, or already prepared",
				binary, name[0])
		}
		b = bytes.ReplaceAll(b, []byte(name[0]), []byte(name[1]))
	}
	tmp, err := os.CreateTemp(filepath.Dir(out), filepath.Base(out)+".*")
	if err != nil {
		return fmt.Errorf("vclock: write prepared program: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Chmod(0o755)
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	// A rename, because a copy that is running cannot be written over.
	if err == nil {
		err = os.Rename(tmp.Name(), out)
	}
	if err != nil {
		return fmt.Errorf("vclock: write prepared program %s: %w", out, err)
	}
	return nil
}
