package prove

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestScratchOfTheDead: what a process left that died goes with the next proof;
// what another is using stays.
func TestScratchOfTheDead(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	mine, remove, err := newScratch(parent)
	if err != nil {
		t.Fatal(err)
	}
	folder := func(name string, files ...string) string {
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	dead, young, old := folder(scratchPrefix+"dead", lockName, "copy.sqlite"), folder(scratchPrefix+"young"), folder(scratchPrefix+"old", "copy.sqlite")
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	other := folder("another-program", lockName)
	second, removeSecond, err := newScratch(parent)
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{mine: true, second: true, young: true, other: true, dead: false, old: false} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: there %v, want %v", dir, err == nil, want)
		}
	}
	remove()
	removeSecond()
	for _, dir := range []string{mine, second} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
}
