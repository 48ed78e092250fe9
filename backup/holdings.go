package backup

import "time"

// Holdings is what is stored and known at one moment, as retention sees it.
type Holdings struct {
	Copies   []Copy    // every one that is listed, wherever it lies; without manifests
	Archives []Archive // every one that is listed

	Gone    map[string]bool   // UUIDs of databases that the account no longer has
	Erased  map[string]bool   // UUIDs of databases whose copies an admin wants gone
	Reading map[string]string // id of a copy, or week of an archive → what reads it now

	Newest     time.Time // the newest time on record anywhere
	ClockRight time.Time // times on record up to here were seen, and the clock confirmed, by an admin
	Frozen     string    // why nothing may go until an admin says so; "" for not frozen
	Incomplete string    // why the bucket's listing is not to be trusted; "" where it is
}
