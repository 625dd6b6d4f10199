package import FoundationEssentials
package import JOSE
import Synchronization

/// The keys of one issuer, fetched before they are needed and kept while the issuer cannot be reached.
///
/// A look-up that finds its key takes a lock for a dictionary access and does not suspend. An unknown key id causes at
/// most one fetch in 30 seconds, whoever asks and for whichever id, which bounds what invented ids can cause better than
/// remembering them would; at most 1000 look-ups wait for a fetch, the others are answered with what is known. A fetch
/// that fails replaces nothing; one that succeeds replaces everything, also with nothing.
package final class IssuerKeys: Sendable {
    package enum LookUp: Sendable {
        case found(JWK)
        /// The issuer's keys are known, and it is none of them.
        case unknown
        /// No set of keys is usable; why, in words.
        case unavailable(String)
    }

    /// Where the keys come from and how long they keep.
    package struct Policy: Sendable {
        /// The life of a set that does not say, and the bounds for one that does.
        package var defaultLife: Duration = .seconds(15 * 60)
        package var shortestLife: Duration = .seconds(60)
        package var longestLife: Duration = .seconds(3600)
        /// How long the last good set serves while fetching fails.
        package var maximumStale: Duration = .seconds(24 * 3600)
        /// Between two fetches that unknown key ids cause, and between attempts after a failure.
        package var unknownKeyInterval: Duration = .seconds(30)

        package init() {}
    }

    package let name: IssuerName
    /// Nil for keys that were read at start and never change.
    private let fetcher: (any KeySetFetcher)?
    private let policy: Policy
    private let clock: any BrokerClock
    private let state: Mutex<State>

    /// Keys that are fetched. There are none before the first `refresh()`.
    package init(name: IssuerName, fetcher: any KeySetFetcher, clock: any BrokerClock, policy: Policy = .init()) {
        self.name = name
        self.fetcher = fetcher
        self.policy = policy
        self.clock = clock
        state = Mutex(State(created: clock.now))
    }

    /// Keys that never change.
    package init(name: IssuerName, keys: JWKSet, clock: any BrokerClock) {
        self.name = name
        fetcher = nil
        policy = Policy()
        self.clock = clock
        state = Mutex(State(keys: keys, created: clock.now))
    }

    /// The key of that id. Suspends only for one that is not among those that are known.
    package func key(_ id: ExactString) async -> LookUp {
        guard let fetcher else {
            return state.withLock { $0.keys?.keys[id] }.map(LookUp.found) ?? .unknown
        }
        switch state.withLock({ $0.lookUp(id, at: clock.uptime, policy) }) {
        case .answer(let answer): return answer
        case .fetch:
            await fetch(with: fetcher)
        case .wait:
            await fetchUnderWay()
        }
        return state.withLock { $0.lookUpAfterFetch(id, at: clock.uptime, policy) }
    }

    /// Fetches the keys now, or waits for the fetch that is under way.
    package func refresh() async {
        guard let fetcher else { return }
        if state.withLock({ $0.beginFetch(at: clock.uptime) }) {
            await fetch(with: fetcher)
        } else {
            await fetchUnderWay()
        }
    }

    /// Until the next background refresh: 80 % of the set's life, give or take a tenth, so that many nodes do not ask at
    /// once; 30 seconds after a failure. Nil for keys that never change.
    package func untilNextRefresh(jitter: Double) -> Duration? {
        guard fetcher != nil else { return nil }
        return state.withLock { $0.untilNextRefresh(at: clock.uptime, jitter: jitter, policy) }
    }

    package var status: Status {
        state.withLock { $0.status(at: clock.uptime, isFixed: fetcher == nil, policy) }
    }

    /// How the keys are, for readiness and for operators.
    package struct Status: Sendable {
        /// Whether tokens of the issuer can be verified.
        package let isUsable: Bool
        package let keyCount: Int
        /// Since the last fetch that succeeded; nil before the first, and for keys that never change.
        package let age: Duration?
        /// Of the last fetch, if it failed.
        package let lastError: String?
        /// Since when no token of the issuer can be verified, by the wall clock; nil while they can.
        package let unusableSince: Date?
        /// When the first fetch failed of those that did since one succeeded.
        package let failingSince: Date?
        /// When the last fetch ended.
        package let lastFetch: Date?
        package let fetchCount: UInt64
        /// Of those, how many failed.
        package let failureCount: UInt64
    }

    /// Single-flight: the caller has begun the fetch and ends it, also when it is cancelled meanwhile.
    private func fetch(with fetcher: any KeySetFetcher) async {
        let outcome: Result<FetchedKeySet, KeySetFetchFailure>
        do {
            // Others wait for this fetch: it does not end with the request that happened to cause it.
            outcome = .success(try await Task { () throws(KeySetFetchFailure) in try await fetcher.fetch() }.value)
        } catch {
            outcome = .failure((error as? KeySetFetchFailure) ?? KeySetFetchFailure("\(type(of: error))"))
        }
        let waiting = state.withLock { $0.endFetch(outcome, at: clock.uptime, clock.now, policy) }
        for continuation in waiting { continuation.resume() }
    }

    /// Returns when the fetch that is under way, if any, has ended.
    private func fetchUnderWay() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock { !$0.wait(continuation) }
            if isOver { continuation.resume() }
        }
    }
}

extension IssuerKeys {
    private struct State {
        private(set) var keys: JWKSet?
        private var fetchedAt: Duration?
        private var life: Duration = .zero
        private var attemptedAt: Duration?
        private var lastError: String?
        /// By the wall clock, for operators; nothing is decided by these.
        private let created: Date
        private var fetchedDate: Date?
        private var emptySince: Date?
        private var failingSince: Date?
        private var lastFetch: Date?
        private var fetchCount: UInt64 = 0
        private var failureCount: UInt64 = 0
        private var unknownFetchAt: Duration?
        private var isFetching = false
        private var waiting: [CheckedContinuation<Void, Never>] = []

        init(keys: JWKSet? = nil, created: Date) {
            self.keys = keys
            self.created = created
        }

        enum Step {
            case answer(LookUp)
            /// The caller has to fetch; others wait for it.
            case fetch
            case wait
        }

        private static let maximumWaiting = 1000

        mutating func lookUp(_ id: ExactString, at now: Duration, _ policy: Policy) -> Step {
            let usable = usableKeys(at: now, policy)
            if let key = usable?.keys[id] { return .answer(.found(key)) }
            if isFetching, waiting.count < Self.maximumWaiting { return .wait }
            let mayFetch = !isFetching && unknownFetchAt.map { now - $0 >= policy.unknownKeyInterval } ?? true
            guard mayFetch else {
                return .answer(usable == nil ? .unavailable(lastError ?? "they were never fetched") : .unknown)
            }
            unknownFetchAt = now
            _ = beginFetch(at: now)
            return .fetch
        }

        mutating func lookUpAfterFetch(_ id: ExactString, at now: Duration, _ policy: Policy) -> LookUp {
            guard let usable = usableKeys(at: now, policy) else {
                return .unavailable(lastError ?? "they were never fetched")
            }
            return usable.keys[id].map(LookUp.found) ?? .unknown
        }

        /// - Returns: false when a fetch is under way already.
        mutating func beginFetch(at now: Duration) -> Bool {
            guard !isFetching else { return false }
            isFetching = true
            attemptedAt = now
            return true
        }

        mutating func endFetch(
            _ outcome: Result<FetchedKeySet, KeySetFetchFailure>, at now: Duration, _ date: Date, _ policy: Policy
        ) -> [CheckedContinuation<Void, Never>] {
            isFetching = false
            lastFetch = date
            fetchCount += 1
            switch outcome {
            case .success(let fetched):
                emptySince = fetched.keys.keys.isEmpty ? unusableSince(at: now, isFixed: false, policy) ?? date : nil
                keys = fetched.keys
                fetchedAt = now
                fetchedDate = date
                (lastError, failingSince) = (nil, nil)
                let said = fetched.maximumAge ?? policy.defaultLife
                life = min(max(said, policy.shortestLife), policy.longestLife)
            case .failure(let failure):
                lastError = failure.description
                failingSince = failingSince ?? date
                failureCount += 1
            }
            defer { waiting = [] }
            return waiting
        }

        /// - Returns: false when there is nothing to wait for, or too many wait already.
        mutating func wait(_ continuation: CheckedContinuation<Void, Never>) -> Bool {
            guard isFetching, waiting.count < Self.maximumWaiting else { return false }
            waiting.append(continuation)
            return true
        }

        func untilNextRefresh(at now: Duration, jitter: Double, _ policy: Policy) -> Duration {
            guard let attemptedAt else { return .zero }
            if lastError != nil { return max(.zero, attemptedAt + policy.unknownKeyInterval - now) }
            return max(.zero, (fetchedAt ?? attemptedAt) + life * (0.8 + 0.1 * jitter) - now)
        }

        func status(at now: Duration, isFixed: Bool, _ policy: Policy) -> Status {
            let usable = isFixed ? keys : usableKeys(at: now, policy)
            return Status(
                isUsable: usable?.keys.isEmpty == false, keyCount: usable?.keys.count ?? 0,
                age: fetchedAt.map { now - $0 }, lastError: lastError,
                unusableSince: unusableSince(at: now, isFixed: isFixed, policy), failingSince: failingSince,
                lastFetch: lastFetch, fetchCount: fetchCount, failureCount: failureCount)
        }

        private func unusableSince(at now: Duration, isFixed: Bool, _ policy: Policy) -> Date? {
            if isFixed { return keys?.keys.isEmpty == false ? nil : created }
            guard let fetchedDate else { return created }
            guard let usable = usableKeys(at: now, policy) else {
                return emptySince ?? fetchedDate.addingTimeInterval((life + policy.maximumStale).seconds)
            }
            return usable.keys.isEmpty ? emptySince : nil
        }

        /// The last good set, until it is too old to be trusted.
        private func usableKeys(at now: Duration, _ policy: Policy) -> JWKSet? {
            guard let fetchedAt, now - fetchedAt <= life + policy.maximumStale else { return nil }
            return keys
        }
    }
}
