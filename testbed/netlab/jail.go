package netlab

import (
	"encoding/json"
	"fmt"
	"os"

	"wguplink/testbed/jail"
)

// Jail is what a program of a host may do at most. One thing differs from a router: the lab has no CAP_SYS_TIME to give
// away, so that no program sets the machine's clock. Setting the clock is the business of the program's vclock.Clock,
// and succeeds there.
type Jail = jail.Jail

// jailEnv hands the jail to the launcher. It never reaches a program of the lab.
const jailEnv = "NETLAB_JAIL"

func envOf(j *Jail) string {
	b, err := json.Marshal(j)
	if err != nil {
		panic(err) // numbers only
	}
	return jailEnv + "=" + string(b)
}

// enterJail makes the calling thread, which is about to become the program, that of the jail in the environment, if
// any.
func enterJail() error {
	text, ok := os.LookupEnv(jailEnv)
	if !ok {
		return nil
	}
	os.Unsetenv(jailEnv)
	var j Jail
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return fmt.Errorf("jail: %w", err)
	}
	if err := j.Enter(); err != nil {
		return fmt.Errorf("jail: %w", err)
	}
	return nil
}
