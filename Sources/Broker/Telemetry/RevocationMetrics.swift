/// What is revoked, and whether it is durable, as of the scrape.
struct RevocationMetrics: MetricSource {
    let revocations: Revocations

    func write(to text: inout MetricText) {
        text.family("daypass_revocations_live", .gauge, "Revocations that are kept.")
        text.sample(UInt64(revocations.liveCount))
        text.family("daypass_revocations_highest", .gauge, "The number of the last revocation.")
        text.sample(revocations.highest)
        let waiting = revocations.waiting
        text.family(
            "daypass_revocations_waiting", .gauge, "Revocations that are in force and would be lost with the process.")
        text.sample(UInt64(waiting.count))
    }
}
