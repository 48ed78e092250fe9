// Package backup holds the nouns that two or more layers of Patina share:
// databases, jobs, results, copies, manifests, proofs, and the kinds of error.
//
// It owns names and their invariants, nothing else: it reads no files, opens
// no connections, and imports only the standard library.
package backup
