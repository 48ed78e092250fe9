package d1test_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/AutumnsGrove/Patina/backup/d1/d1test"
)

// child asks TestDiesWithItsProcess to be the process that is killed.
const child = "PATINA_D1TEST_CHILD"

// TestDiesWithItsProcess: an engine does not outlive a test process that is
// killed.
func TestDiesWithItsProcess(t *testing.T) {
	if os.Getenv(child) != "" {
		fmt.Println("URL " + d1test.Start(t).URL())
		<-t.Context().Done()
		return
	}
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiesWithItsProcess$")
	cmd.Env = append(os.Environ(), child+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	addr := ""
	for addr == "" && lines.Scan() {
		addr, _ = strings.CutPrefix(lines.Text(), "URL http://")
	}
	dial := func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	if err := dial(); err != nil {
		t.Fatalf("the engine at %q does not listen: %v", addr, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); dial() == nil; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("the engine still listens, 20 s after its process was killed")
		}
	}
}
