package backup

// Standing is what is known of one database at a glance: its entry, its newest
// copies, and how its last backup went.
type Standing struct {
	Database Database
	Newest   *Copy   // newest listed copy that is not suspect; nil for none
	Proven   *Copy   // newest proven one; nil for none
	Suspect  int     // listed copies that are suspect or quarantined
	Last     *Result // the newest that ended as success or failed; nil for none
	Open     *Result // queued or running; nil for none
}
