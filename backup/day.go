package backup

// Day is what became of one database on one UTC date: its results taken
// together. A day on which none ended has no Day.
type Day struct {
	DatabaseID string
	Date       Date
	Stored     bool // a backup succeeded
	Failed     bool // one failed; another may have succeeded
	Proven     bool // a copy of it was proven
	Suspect    bool // a copy of it is suspect
	Size, Rows int64
	JobID      string // of the newest
}
