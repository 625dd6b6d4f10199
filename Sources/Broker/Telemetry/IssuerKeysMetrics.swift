import FoundationEssentials
import JOSE

/// How fresh the keys of each issuer are, read when somebody asks.
package struct IssuerKeysMetrics: MetricSource {
    private let issuers: @Sendable () -> [IssuerKeys]

    /// - Parameter issuers: those of the moment of each scrape.
    package init(_ issuers: @escaping @autoclosure @Sendable () -> [IssuerKeys]) {
        self.issuers = issuers
    }

    package func write(to text: inout MetricText) {
        let states = issuers().map { (MetricLabels([("issuer", $0.name.text.string)]), $0.status) }
        text.family("daypass_issuer_keys_usable", .gauge, "1 while tokens of the issuer can be verified.")
        for (labels, status) in states { text.sample(status.isUsable ? 1.0 : 0, labels) }
        text.family("daypass_issuer_keys", .gauge, "Keys that tokens of the issuer are verified with.")
        for (labels, status) in states { text.sample(Double(status.keyCount), labels) }
        text.family(
            "daypass_issuer_keys_age_seconds", .gauge,
            "Time since the keys were last fetched; absent before that, and for keys from a file.")
        for (labels, status) in states {
            if let age = status.age { text.sample(age.seconds, labels) }
        }
        text.family("daypass_issuer_keys_last_fetch_success", .gauge, "Whether the last fetch succeeded.")
        for (labels, status) in states {
            if status.lastFetch != nil { text.sample(status.lastError == nil ? 1.0 : 0, labels) }
        }
        text.family("daypass_issuer_keys_last_fetch_timestamp_seconds", .gauge, "When the last fetch ended.")
        for (labels, status) in states {
            if let time = status.lastFetch { text.sample(time.timeIntervalSince1970, labels) }
        }
        text.family("daypass_issuer_keys_fetches_total", .counter, "Fetches of an issuer's keys.")
        for (labels, status) in states { text.sample(status.fetchCount, labels) }
        text.family("daypass_issuer_keys_fetch_failures_total", .counter, "Those of them that failed.")
        for (labels, status) in states { text.sample(status.failureCount, labels) }
    }
}
