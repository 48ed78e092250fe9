package embedded

import (
	"path/filepath"
	"testing"
	"time"
)

// Kill -9 of the process that embeds a server leaves no server behind.
func TestDiesWithParent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testDir(t), "pg")
	cmd, _, _ := child(t, dir)
	data := filepath.Join(dir, "data")
	pid := readPid(filepath.Join(data, "postmaster.pid"))
	if !isServerOf(pid, data) {
		t.Fatalf("process %d is not the child's server", pid)
	}
	begin := time.Now()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for isServerOf(pid, data) {
		if time.Since(begin) > 30*time.Second {
			t.Fatal("it outlives the process that started it")
		}
		if err := pause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("gone after %v", time.Since(begin))
}
