package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// AgentCgroup is the control group of the agent and of what it starts, where its memory is limited.
const AgentCgroup = cgroups + "/agent"

const cgroups = "/sys/fs/cgroup"

// limitMemory makes the agent's control group, and opens it (the kernel's Documentation/admin-guide/cgroup-v2.rst).
func limitMemory(bytes int) (*os.File, error) {
	if err := unix.Mount("cgroup2", cgroups, "cgroup2", 0, ""); err != nil {
		return nil, fmt.Errorf("mount %s: %w", cgroups, err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(cgroups, "cgroup.subtree_control"), []byte("+memory"), 0),
		os.Mkdir(AgentCgroup, 0o755),
		os.WriteFile(filepath.Join(AgentCgroup, "memory.max"), []byte(strconv.Itoa(bytes)), 0)); err != nil {
		return nil, fmt.Errorf("limit the agent's memory: %w", err)
	}
	return os.Open(AgentCgroup)
}
