package prove

import (
	"sync"

	"modernc.org/libc"
	sqlite "modernc.org/sqlite/lib"
)

// MaxMemory is what SQLite may take, in bytes, for one database that is loaded:
// enough for values far beyond D1's 2,000,000 bytes, and a bound to what the
// schema of a stranger's dump can make it compute.
const MaxMemory = 160 << 20

// SQLite must be told to count its memory before its first use in a process.
func init() {
	tls := libc.NewTLS()
	defer tls.Close()
	args := tls.Alloc(8)
	defer tls.Free(8)
	sqlite.Xsqlite3_config(tls, sqlite.SQLITE_CONFIG_MEMSTATUS, libc.VaList(args, int32(1)))
}

var budget struct {
	sync.Mutex
	loads int64
}

// Bound bounds the memory that SQLite may take in this process to what it has
// now and MaxMemory more, until release is called. Beyond it a statement fails.
func Bound() (release func()) {
	change := func(by int64) {
		budget.Lock()
		defer budget.Unlock()
		budget.loads += by
		tls := libc.NewTLS()
		defer tls.Close()
		switch now := sqlite.Xsqlite3_hard_heap_limit64(tls, -1); {
		case budget.loads == 0:
			sqlite.Xsqlite3_hard_heap_limit64(tls, 0)
			sqlite.Xsqlite3_soft_heap_limit64(tls, 0)
		case budget.loads == 1 && by > 0:
			sqlite.Xsqlite3_hard_heap_limit64(tls, sqlite.Xsqlite3_memory_used(tls)+MaxMemory)
		default:
			sqlite.Xsqlite3_hard_heap_limit64(tls, now+by*MaxMemory)
		}
	}
	change(1)
	return sync.OnceFunc(func() { change(-1) })
}
