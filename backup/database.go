package backup

import "time"

// Priority orders the databases of a run: critical ones are exported first.
type Priority string

// The priorities, highest first.
const (
	Critical Priority = "critical"
	High     Priority = "high"
	Normal   Priority = "normal"
)

// Rank gives 1 for critical, 2 for high and 3 for anything else.
func (p Priority) Rank() int {
	switch p {
	case Critical:
		return 1
	case High:
		return 2
	}
	return 3
}

// Valid tells whether p is one of the three priorities.
func (p Priority) Valid() bool { return p == Critical || p == High || p == Normal }

// Origin says how a database came into the registry.
type Origin string

// The origins of a registry entry.
const (
	FromConfig    Origin = "config"     // named in patina.toml
	FromDiscovery Origin = "discovered" // found in the account
)

// DefaultObjective is the longest age the newest proven copy of a database may
// reach before it is stale.
const DefaultObjective = 26 * time.Hour

// Database is an entry of the registry.
type Database struct {
	ID            string        // Cloudflare's UUID, lower case: the identity
	Name          string        // unique among the databases that are not gone
	Binding       string        // the Worker binding, for people; may be empty
	Description   string        // may be empty
	Priority      Priority      //
	EstimatedSize int64         // bytes; 0 when unknown
	Origin        Origin        //
	Paused        bool          // left out of scheduled runs
	Objective     time.Duration // longest age of the newest proven copy
	FirstSeenAt   time.Time     //
	LastSeenAt    time.Time     // when discovery last found it in the account
	GoneAt        *time.Time    // when discovery found it missing; nil while it is there
	Redact        []Redaction   // what its copies leave out
	RedactFixed   bool          // patina.toml says it
}
