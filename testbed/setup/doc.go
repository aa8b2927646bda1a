// Package setup tests what scripts/install leaves on a machine.
package setup
