import FoundationEssentials
import JOSE
import OpenSSL
package import SPIFFE

/// The bundle of one trust domain that is fetched from its endpoint (SPIFFE Federation §5), and what is kept of it.
///
/// * A document that cannot be fetched or read replaces nothing. An empty one is taken at its word.
/// * The sequence never goes back: a document with a lower one, or with none after one with, is refused, across restarts
///   too. With the same sequence a bundle may trust less and never more: a withdrawal by a publisher who forgot to count
///   has to take effect, while an older document that a cache or an attacker serves again may bring nothing back.
/// * A bundle takes effect before it is stored. While it cannot be, the state says so and storing is tried at each poll:
///   otherwise a broken disk would keep withdrawn authorities alive. No token is granted meanwhile, since exchanges have
///   to be recorded too.
///
/// Used by one task at a time.
package struct EndpointBundle: Sendable {
    /// Between two polls where the bundle says nothing (§4.1).
    package static let defaultInterval: Duration = .seconds(300)
    /// What a bundle may ask for.
    package static let intervals: ClosedRange<Duration> = .seconds(1) ... .seconds(86_400)

    package let trustDomain: TrustDomain
    private let endpoint: ExactString
    private let initial: TrustBundle?
    private let fetcher: any BundleFetcher
    private let bundles: TrustBundles
    private let store: any TrustBundleStore
    private let masterKey: MasterKey
    private let clock: any BrokerClock

    /// The highest that was seen.
    private var sequence: UInt64?
    /// What is trusted.
    private var bundle: TrustBundle?
    /// SHA-256 of the document that is stored; nil for none, or one that does not open.
    private var stored: [UInt8]?

    package init(
        _ trustDomain: TrustDomain, _ endpoint: BundleEndpoint, fetcher: any BundleFetcher, bundles: TrustBundles,
        store: any TrustBundleStore, masterKey: MasterKey, clock: any BrokerClock
    ) {
        self.trustDomain = trustDomain
        self.endpoint = endpoint.identity
        initial = endpoint.initial
        self.fetcher = fetcher
        self.bundles = bundles
        self.store = store
        self.masterKey = masterKey
        self.clock = clock
    }

    /// Trusts what the endpoint last served before the start, until it answers.
    ///
    /// What is stored of another URL, profile or server counts for nothing: that relationship has ended (§6.3). The bundle
    /// of the configuration counts where nothing is stored, or where its sequence is the higher one.
    /// - Returns: why the stored bundle cannot be used, where there is one that should be.
    package mutating func restore() async throws(StoreFailure) -> String? {
        let record = try await store.trustBundle(of: trustDomain).flatMap { $0.endpoint == endpoint ? $0 : nil }
        sequence = record?.sequence
        var failure: String?
        if let record {
            switch opened(record) {
            case .success(let (kept, digest)):
                (bundle, stored) = (kept, digest)
                sequence = [sequence, kept.sequence].compactMap(\.self).max()
            case .failure(let reason): failure = reason.description
            }
        }
        if let initial, supersedesStored(initial) {
            bundle = initial
            sequence = initial.sequence ?? sequence
            bundles.replace(with: initial, from: .initial)
        } else if let bundle {
            bundles.replace(with: bundle, from: .stored)
        }
        return failure
    }

    /// Fetches the bundle now.
    /// - Returns: nil where the task was cancelled meanwhile; nothing has changed then.
    package mutating func poll() async -> Outcome? {
        guard let answer = await fetched() else { return nil }
        do {
            let document = try answer.get()
            let next = try TrustBundle(parsing: document, of: trustDomain)
            try check(next)
            let hasChanged = bundles.replace(with: next, from: .endpoint, endsFailure: false)
            bundle = next
            sequence = next.sequence ?? sequence
            guard let failure = await keep(document) else {
                bundles.recovered(trustDomain)
                return .fetched(next, hasChanged: hasChanged)
            }
            let reason = "the bundle is trusted, but could not be stored: \(failure)"
            bundles.failed(trustDomain, reason)
            return .notStored(next, hasChanged: hasChanged, reason)
        } catch {
            bundles.failed(trustDomain, "\(error)")
            return .failed("\(error)")
        }
    }

    package enum Outcome: Sendable {
        case fetched(TrustBundle, hasChanged: Bool)
        case notStored(TrustBundle, hasChanged: Bool, String)
        /// The last good bundle stays.
        case failed(String)
    }

    /// Until the next poll, also after a failure (§6.2): what the bundle that is trusted asks for, up to a tenth less, so
    /// that many brokers do not ask at once.
    /// - Parameter jitter: between −1 and 1.
    package func untilNextPoll(jitter: Double) -> Duration {
        let hint = bundle?.refreshHint ?? Self.defaultInterval
        let interval = min(max(hint, Self.intervals.lowerBound), Self.intervals.upperBound)
        return max(interval - interval / 20 * (1 - jitter), Self.intervals.lowerBound)
    }
}

extension EndpointBundle {
    /// Nil where the task is cancelled. A fetch that is under way then is left to its own time limit.
    private func fetched() async -> Result<[UInt8], BundleFetchFailure>? {
        let (answers, answer) = AsyncStream<Result<[UInt8], BundleFetchFailure>>.makeStream()
        let fetch = Task { [fetcher] in
            do throws(BundleFetchFailure) {
                answer.yield(.success(try await fetcher.fetch()))
            } catch {
                answer.yield(.failure(error))
            }
            answer.finish()
        }
        defer { fetch.cancel() }
        for await result in answers { return Task.isCancelled ? nil : result }
        return nil
    }

    private func check(_ next: TrustBundle) throws(Refusal) {
        guard let sequence else { return }
        guard let nextSequence = next.sequence else { throw .noSequence(last: sequence) }
        guard nextSequence >= sequence else { throw .lower(nextSequence, last: sequence) }
        guard nextSequence == sequence, let bundle else { return }
        guard next.trustsNothingBeyond(bundle) else { throw .moreWithSameSequence(sequence) }
    }

    /// Why a bundle that was served is not taken.
    private enum Refusal: Error, CustomStringConvertible {
        case lower(UInt64, last: UInt64)
        case noSequence(last: UInt64)
        case moreWithSameSequence(UInt64)

        var description: String {
            switch self {
            case .lower(let found, let last): "the bundle has the sequence \(found), after one with \(last)"
            case .noSequence(let last): "the bundle has no sequence, after one with \(last)"
            case .moreWithSameSequence(let sequence):
                "the bundle trusts more than the last one, which has the same sequence \(sequence)"
            }
        }
    }
}

extension EndpointBundle {
    /// Also where the stored bundle does not open: who damages its row must not bring an older one back.
    private func supersedesStored(_ initial: TrustBundle) -> Bool {
        guard let sequence else { return bundle == nil }
        guard let own = initial.sequence else { return false }
        return bundle == nil ? own >= sequence : own > sequence
    }

    private struct Damage: Error, CustomStringConvertible {
        let description: String
    }

    private func opened(_ record: TrustBundleRecord) -> Result<(TrustBundle, [UInt8]), Damage> {
        guard record.masterKeyID == masterKey.id else {
            return .failure(
                Damage(
                    description:
                        "it was sealed with master key \(record.masterKeyID), and the master key file holds \(masterKey.id)"
                ))
        }
        guard let secret = try? masterKey.open(record.sealed, from: place) else {
            return .failure(Damage(description: "it does not open: its row was altered or damaged"))
        }
        let document = secret.withSpan { span in span.indices.map { span[$0] } }
        do {
            let bundle = try TrustBundle(parsing: document, of: trustDomain)
            return .success((bundle, HashAlgorithm.sha256.digest(document)))
        } catch {
            return .failure(Damage(description: "\(error)"))
        }
    }

    /// - Returns: why it could not be stored.
    private mutating func keep(_ document: [UInt8]) async -> String? {
        let digest = HashAlgorithm.sha256.digest(document)
        guard digest != stored else { return nil }
        do {
            var plaintext = document
            let sealed = try masterKey.seal(SecretBytes(moving: &plaintext), for: place)
            try await store.keep(
                TrustBundleRecord(
                    trustDomain: trustDomain, endpoint: endpoint, sequence: sequence, sealed: sealed,
                    masterKeyID: masterKey.id, updated: clock.now))
            stored = digest
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// With the endpoint, so that what one served does not open as another's.
    private var place: SealedPlace {
        TrustBundleRecord.place(of: trustDomain, from: endpoint)
    }
}

extension TrustBundleRecord {
    /// Whether `masterKey` sealed it, for this endpoint, and nothing changed it since.
    package func opens(with masterKey: MasterKey) -> Bool {
        self.masterKeyID == masterKey.id
            && (try? masterKey.open(sealed, from: Self.place(of: trustDomain, from: endpoint))) != nil
    }
}
