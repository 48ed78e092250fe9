package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/store"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("patina_"+name, help, labels, nil)
}

// What is told of each database.
var (
	lastSuccess   = desc("database_last_success_timestamp_seconds", "When the newest stored copy of a database was taken; 0 for never.", "database")
	lastProven    = desc("database_last_proven_timestamp_seconds", "When the newest proven copy of a database was taken; 0 for never.", "database")
	provenAge     = desc("database_proven_age_seconds", "Age of the newest proven copy of a database, or of the database itself while there is none.", "database")
	objective     = desc("database_objective_seconds", "Longest age that the newest proven copy of a database may reach.", "database")
	stale         = desc("database_stale", "1 where a database has no proven copy within its objective; a paused one is not stale.", "database")
	lastFailed    = desc("database_last_backup_failed", "1 where the last backup of a database failed.", "database")
	copySize      = desc("database_copy_bytes", "Stored bytes of the newest copy of a database.", "database")
	copyRows      = desc("database_copy_rows", "Rows in the newest copy of a database.", "database")
	lastDuration  = desc("database_last_backup_duration_seconds", "How long the last backup of a database took.", "database")
	lastRequests  = desc("database_last_backup_requests", "Requests to D1 of the last backup of a database.", "database")
	lastRetries   = desc("database_last_backup_retries", "Requests to D1 that the last backup of a database repeated.", "database")
	lastRowsRead  = desc("database_last_backup_rows_read", "Rows that the last backup of a database read, as D1 bills them.", "database")
	lastBytesRead = desc("database_last_backup_received_bytes", "Bytes that the last backup of a database received from D1.", "database")
)

// What is told of the installation.
var (
	buildInfo    = desc("build_info", "1, with the version of the program.", "version")
	databases    = desc("databases", "Databases in the account.")
	staleOnes    = desc("databases_stale", "Databases without a proven copy within their objective.")
	completed    = desc("last_completed_timestamp_seconds", "When the last backup job without a failure completed; 0 for never.")
	backups      = desc("backups_total", "Backups of one database that ended, by how.", "status")
	requests     = desc("d1_requests_total", "Requests to D1.")
	retries      = desc("d1_retries_total", "Requests to D1 that were repeated.")
	rowsRead     = desc("d1_rows_read_total", "Rows read, as D1 bills them.")
	received     = desc("d1_received_bytes_total", "Bytes received from D1.")
	workers      = desc("workers", "Processes that run jobs and have been heard of lately.")
	leader       = desc("queue_leader", "1 while one of the workers leads the queue.")
	queueJobs    = desc("queue_jobs", "Jobs in the queue that have not ended.", "queue", "state")
	queueWaiting = desc("queue_oldest_seconds", "How long the first job of a queue in a state has been due.", "queue", "state")
	deliveries   = desc("deliveries", "Alert messages of the last 90 days, by what became of them.", "status")
	untold       = desc("alerts_untold", "Problems that no channel was there to be told of, and that nobody has seen.")
)

// Describe implements prometheus.Collector.
func (s *snapshot) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		lastSuccess, lastProven, provenAge, objective, stale, lastFailed, copySize, copyRows, lastDuration, lastRequests, lastRetries, lastRowsRead, lastBytesRead,
		buildInfo, databases, staleOnes, completed, backups, requests, retries, rowsRead, received, workers, leader, queueJobs, queueWaiting, deliveries, untold,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *snapshot) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, x := range s.databases {
		name := strings.ToValidUTF8(x.name, "\uFFFD")
		gauge(lastSuccess, unix(x.success), name)
		gauge(lastProven, unix(x.proven), name)
		gauge(provenAge, x.age.Seconds(), name)
		gauge(objective, x.objective.Seconds(), name)
		gauge(stale, truth(x.stale), name)
		gauge(lastFailed, truth(x.failed), name)
		gauge(copySize, float64(x.size), name)
		gauge(copyRows, float64(x.rows), name)
		gauge(lastDuration, x.took.Seconds(), name)
		gauge(lastRequests, float64(x.requests), name)
		gauge(lastRetries, float64(x.retries), name)
		gauge(lastRowsRead, float64(x.read), name)
		gauge(lastBytesRead, float64(x.received), name)
	}
	gauge(buildInfo, 1, s.version)
	gauge(databases, float64(s.known))
	gauge(staleOnes, float64(s.stale))
	gauge(completed, unix(s.completed))
	for _, status := range []backup.ResultStatus{backup.ResultSuccess, backup.ResultFailed, backup.ResultSkipped} {
		counter(backups, s.totals.ByStatus[status], string(status))
	}
	counter(requests, int64(s.totals.Cost.Requests))
	counter(retries, int64(s.totals.Cost.Retries))
	counter(rowsRead, s.totals.Cost.RowsRead)
	counter(received, s.totals.Cost.Bytes)
	gauge(workers, float64(s.queue.Workers))
	gauge(leader, truth(s.queue.Leader))
	for _, q := range s.queue.Depth {
		gauge(queueJobs, float64(q.Jobs), q.Queue, q.State)
		gauge(queueWaiting, q.Oldest.Seconds(), q.Queue, q.State)
	}
	for _, status := range []store.DeliveryStatus{store.DeliveryPending, store.DeliveryDone, store.DeliveryDead} {
		gauge(deliveries, float64(s.delivery[status]), string(status))
	}
	gauge(untold, float64(s.untold))
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
