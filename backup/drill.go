package backup

// SourceState says how a copy compares by value with its source.
type SourceState string

// The states.
const (
	SourceNotAsked SourceState = ""            // nobody compared
	SourceEqual    SourceState = "equal"       // no difference is seen
	SourceMoved    SourceState = "moved"       // the source was written to since, so that differences are to be expected
	SourceDiffers  SourceState = "differs"     // nobody wrote since, and yet they differ
	SourceUnknown  SourceState = "unavailable" // the source could not be asked
)
