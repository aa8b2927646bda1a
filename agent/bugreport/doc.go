// Package bugreport writes one text for those who help: what runs, how it is configured, what it sees and what it has
// said. Secrets are masked twice: those of the configuration are left out where they stand, and the whole text goes
// through package mask, which knows the secrets of all UCI files and key files. It is not in the smallest variant.
package bugreport
