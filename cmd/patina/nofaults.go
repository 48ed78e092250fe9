//go:build !faults

package main

// failpoint is nothing in a build for use.
func failpoint() func(step string) { return nil }
