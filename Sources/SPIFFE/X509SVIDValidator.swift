package import FoundationEssentials
import OpenSSL
import Synchronization

/// Validates chains against the bundles of the moment, and remembers those that proved an identity: the same chain costs
/// one digest then, as long as its bundle trusts the same and nothing of its path has expired. Refusals are not remembered.
///
/// Callable from any thread; does not suspend.
package final class X509SVIDValidator: Sendable {
    /// Chains that are remembered, at most.
    package static let standardCapacity = 8192

    typealias Validation = @Sendable ([[UInt8]], TrustBundleSet, Date) -> Result<X509SVID, X509SVIDFailure>

    private let bundles: @Sendable () -> TrustBundleSet
    private let capacity: Int
    private let validation: Validation
    private let proved: Mutex<RecentlyUsed<Entry>>

    private struct Entry {
        let svid: X509SVID
        /// Before this moment nothing is known: a clock that was set back could be before the path's beginning.
        let since: Date
    }

    /// - Parameters:
    ///   - capacity: 0 remembers nothing.
    ///   - bundles: the snapshot of now; called from any thread.
    package convenience init(capacity: Int = standardCapacity, bundles: @escaping @Sendable () -> TrustBundleSet) {
        let known = KnownAuthorities()
        self.init(capacity: capacity, bundles: bundles) { chain, bundles, now in
            do throws(X509SVIDFailure) {
                return .success(
                    try X509SVID.validate(chain, against: bundles, for: .tlsClient, at: now, knowing: known))
            } catch {
                return .failure(error)
            }
        }
    }

    /// - Parameter validation: for tests, which count how often it is asked for.
    init(capacity: Int, bundles: @escaping @Sendable () -> TrustBundleSet, validation: @escaping Validation) {
        self.capacity = capacity
        self.bundles = bundles
        self.validation = validation
        proved = Mutex(RecentlyUsed(capacity: capacity))
    }

    /// What `X509SVID.validate` says of the chain at this moment.
    package func validate(_ chain: [[UInt8]], at now: Date) throws(X509SVIDFailure) -> X509SVID {
        let bundles = bundles()
        guard capacity > 0, let key = Self.key(chain) else { return try validation(chain, bundles, now).get() }
        if let entry = proved.withLock({ $0.value(key) }), entry.since <= now,
            entry.svid.isCurrent(in: bundles, at: now)
        {
            return entry.svid
        }
        let svid = try validation(chain, bundles, now).get()
        proved.withLock { $0.insert(Entry(svid: svid, since: now), key) }
        return svid
    }

    var rememberedCount: Int { proved.withLock { $0.count } }

    /// - Returns: SHA-256 of the whole chain, or nil for what is refused before it is read.
    private static func key(_ chain: [[UInt8]]) -> [UInt8]? {
        let size = chain.reduce(0) { $0 + $1.count }
        guard (1...X509SVID.maximumChainLength).contains(chain.count), size <= X509SVID.maximumChainSize else {
            return nil
        }
        var input: [UInt8] = []
        input.reserveCapacity(size + 4 * chain.count)
        for certificate in chain {
            // With its length, so that no certificate can run into the next.
            let length = UInt32(certificate.count)
            input += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> UInt32($0)) }
            input += certificate
        }
        return HashAlgorithm.sha256.digest(input)
    }
}
