// Package jobs is Patina's queue: it decides when work is due, hands it to
// River, and records what became of it.
//
// It owns the schedules and their ledger of slots, the fan-out of a job over
// databases, leases and fencing tokens, what is retried and what is not, and
// the one place where a job ends. It never answers HTTP, never looks inside a
// dump, and writes no SQL: that is store's.
//
// River's tables are a means: pages and alerts read backup_jobs,
// backup_results and schedule_slots, which outlive them.
package jobs
