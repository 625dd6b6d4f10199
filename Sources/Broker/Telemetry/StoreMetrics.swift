package import FoundationEssentials
import Synchronization

/// What a store counts and times as it makes records durable. Callable from any thread; nothing here waits.
package final class StoreMetrics: MetricSource {
    /// Counts where nobody looks.
    package static let disabled = StoreMetrics()

    private let commits = Histogram<Unlabelled>(
        seconds: "daypass_store_commit_duration_seconds", "Time of a transaction, the sync to the disk included.")
    private let groups = Histogram<Unlabelled>(
        "daypass_store_commit_records", bounds: (0...12).map { 1 << $0 }, "Records that shared a transaction.")
    private let failures = Counter<Unlabelled>(
        "daypass_store_commit_failures_total", "Transactions that failed, with all their records.")
    private let refusals = Counter<Unlabelled>(
        "daypass_store_records_refused_total", "Records refused because too many waited.")
    private let foreignRecords = Counter<Unlabelled>(
        "daypass_audit_foreign_changes_total", "Times that the audit trail was not as this process had left it.")
    private let waitingRecords = Atomic<Int>(0)
    /// Seconds since 1970 as the bits of a `Double`; 0 while all is well.
    private let outageStart = Atomic<UInt64>(0)

    package init() {}

    /// A transaction ended well.
    package func committed(records: Int, took time: Duration) {
        commits.observe(time, .all)
        groups.observe(UInt64(max(0, records)), .all)
    }

    /// A transaction failed, with all of its records.
    package func failed() {
        failures.count()
    }

    /// A record was refused since as many wait as may.
    package func refusedRecord() {
        refusals.count()
    }

    /// The last audit record is not the one that was recorded last.
    package func foreignRecord() {
        foreignRecords.count()
    }

    /// How many records wait for the next transaction.
    package func waiting(_ count: Int) {
        waitingRecords.store(count, ordering: .relaxed)
    }

    /// Since when nothing can be recorded, or nil from when it can again.
    package func outage(since: Date?) {
        outageStart.store(since?.timeIntervalSince1970.bitPattern ?? 0, ordering: .relaxed)
    }

    package func write(to text: inout MetricText) {
        commits.write(to: &text)
        groups.write(to: &text)
        failures.write(to: &text)
        refusals.write(to: &text)
        foreignRecords.write(to: &text)
        text.family("daypass_store_waiting_records", .gauge, "Records that wait for the next transaction.")
        text.sample(Double(waitingRecords.load(ordering: .relaxed)))
        let since = outageStart.load(ordering: .relaxed)
        text.family(
            "daypass_store_recording", .gauge, "1 while records become durable, 0 since the last transaction failed.")
        text.sample(since == 0 ? 1.0 : 0)
        text.family(
            "daypass_store_outage_start_timestamp_seconds", .gauge,
            "When the first transaction failed of those that did since one succeeded; absent while all is well.")
        if since != 0 { text.sample(Double(bitPattern: since)) }
    }
}
