package source

import "github.com/AutumnsGrove/Patina/backup/d1"

// What a reader may want to answer with another question.
var (
	ErrTooBig      = d1.ErrTooBig      // a value is too long for one answer
	ErrNoTable     = d1.ErrNoTable     // a table or column is gone
	ErrInterrupted = d1.ErrInterrupted // the answer was cut; the rows before that are good
)
