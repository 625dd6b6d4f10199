import FoundationEssentials
import JOSE
import SPIFFE

/// How each trust domain's bundle stands, read when somebody asks. A series for each that is configured.
package struct TrustBundleMetrics: MetricSource {
    private let bundles: TrustBundles

    package init(_ bundles: TrustBundles) {
        self.bundles = bundles
    }

    package func write(to text: inout MetricText) {
        let states = bundles.statuses.map { (MetricLabels([("trust_domain", $0.trustDomain.name.string)]), $0) }
        text.family("daypass_trust_bundle_usable", .gauge, "1 while SVIDs of the trust domain can be verified.")
        for (labels, status) in states { text.sample(status.isUsable ? 1.0 : 0, labels) }
        text.family("daypass_trust_bundle_authorities", .gauge, "Authorities of its X509-SVIDs.")
        for (labels, status) in states { text.sample(Double(status.authorityCount), labels) }
        text.family("daypass_trust_bundle_keys", .gauge, "Keys of its JWT-SVIDs.")
        for (labels, status) in states { text.sample(Double(status.keyCount), labels) }
        text.family(
            "daypass_trust_bundle_last_read_success", .gauge,
            "0 while the bundle cannot be had and the last good one serves.")
        for (labels, status) in states { text.sample(status.lastError == nil ? 1.0 : 0, labels) }
        text.family(
            "daypass_trust_bundle_source", .gauge,
            "1 for where the bundle came from: its file, the file beside its endpoint (initial), the store, the endpoint."
        )
        for (status, source) in states.compactMap({ pair in pair.1.source.map { (pair.1, $0) } }) {
            text.sample(
                1.0, MetricLabels([("trust_domain", status.trustDomain.name.string), ("source", source.rawValue)]))
        }
        text.family(
            "daypass_trust_bundle_age_seconds", .gauge,
            "Since the endpoint last answered with a bundle that was taken; not there before it did, and for files.")
        for (labels, status) in states { if let age = status.age { text.sample(age.seconds, labels) } }
        text.family(
            "daypass_trust_bundle_changes_total", .counter, "How often the bundle came to trust something else.")
        for (labels, status) in states { text.sample(status.changeCount, labels) }
        text.family("daypass_trust_bundle_failures_total", .counter, "Failures to have a newer bundle.")
        for (labels, status) in states { text.sample(status.failureCount, labels) }
    }
}
