/// What the verification cache holds, and what it was good for, as of the scrape. An observation costs nothing beside the
/// look-up itself: it is counted under the lock that this takes anyway.
struct VerificationCacheMetrics: MetricSource {
    let cache: VerificationCache

    func write(to text: inout MetricText) {
        let (size, counts) = (cache.size, cache.counts)
        text.family("daypass_verification_cache_entries", .gauge, "Tokens whose verification is remembered.")
        text.sample(UInt64(size.entries))
        text.family("daypass_verification_cache_bytes", .gauge, "Memory that they take, about.")
        text.sample(UInt64(size.bytes + cache.grants.size.bytes))
        text.family("daypass_verification_cache_capacity", .gauge, "At most so many are remembered.")
        text.sample(UInt64(cache.capacity))
        text.family("daypass_verification_cache_hits_total", .counter, "Tokens that were remembered.")
        text.sample(counts.hits)
        text.family("daypass_verification_cache_misses_total", .counter, "Tokens that were not.")
        text.sample(counts.misses)
        text.family(
            "daypass_verification_cache_oversized_total", .counter,
            "Tokens that are verified anew each time, since they say too much to be remembered.")
        text.sample(counts.oversized)
        text.family(
            "daypass_verification_cache_rechecks_total", .counter,
            "Hits that were looked at again after a revocation or a change of keys.")
        text.sample(counts.rechecks)
        text.family(
            "daypass_verification_cache_removals_total", .counter, "Tokens that are remembered no more, by the reason.")
        for (reason, count) in [
            ("evicted", counts.evictions), ("expired", counts.expirations), ("key", counts.keyRemovals),
        ] {
            text.sample(count, MetricLabels([("reason", reason)]))
        }
    }
}
