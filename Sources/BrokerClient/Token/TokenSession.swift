// Read first: how `daypass token` gets its token. Kept and checked → printed; else proof → exchange → kept.

/// Gateway tokens for one identity at one broker, from the cache while they last.
package struct TokenSession: Sendable {
    /// In all. Helpers are given up after ten seconds, and a check of half a second may follow.
    package static let longest: Duration = .seconds(9)
    /// Where there is a token yet that can be served.
    package static let longestRenewal: Duration = .seconds(4)
    package static let longestCheck: Duration = .milliseconds(500)
    /// A token that was checked so lately is printed unasked.
    private static let recent: Int64 = 2000

    private let source: any ProofSource
    private let broker: any TokenEndpoint
    private let cache: TokenCache?
    private let minimumLife: Duration
    private let clock: any TokenClock
    private let note: @Sendable (String) -> Void

    /// - Parameters:
    ///   - cache: nil keeps nothing.
    ///   - minimumLife: what a token has to have left to be served from the cache.
    ///   - note: is told what a person should know, in one line.
    package init(
        _ source: any ProofSource, _ broker: any TokenEndpoint, _ cache: TokenCache?, minimumLife: Duration,
        clock: any TokenClock = SystemTokenClock(), note: @escaping @Sendable (String) -> Void
    ) {
        (self.source, self.broker, self.cache) = (source, broker, cache)
        (self.minimumLife, self.clock, self.note) = (minimumLife, clock, note)
    }

    /// A token that is good as far as anybody knows. Suspends for less than ten seconds.
    package func token() async throws(TokenFailure) -> HeldToken {
        let start = (wall: clock.wall, uptime: clock.uptime)
        var rejected: TokenText?
        let entry = kept(isNoted: true)
        if let entry, entry.held.left(at: start.wall) >= minimumLife {
            guard await check(entry) == .bad else { return entry.held }
            rejected = entry.held.token
        }
        let servable = entry.map { $0.held.left(at: start.wall) > .zero && $0.held.token != rejected } ?? false
        let end = start.uptime + (servable ? Self.longestRenewal : Self.longest)
        let lock: TokenCache.Lock?
        switch await turn(since: start.wall, until: end, rejected) {
        case .renewed(let held): return held
        case .ours(let taken): lock = taken
        case .over:
            return try await fallback(
                .unreachable("another daypass has been asking the broker for too long"), rejected, nil, until: end)
        }
        do throws(TokenFailure) {
            let held = try await exchange(until: end)
            keep(held, lock)
            return held
        } catch {
            return try await fallback(error, rejected, lock, until: end)
        }
    }

    // MARK: What is kept

    private func kept(isNoted: Bool = false) -> TokenCache.Entry? {
        guard let cache else { return nil }
        do throws(CacheFailure) {
            return try cache.entry()
        } catch {
            if isNoted { note(error.words) }
            return nil
        }
    }

    private func check(_ entry: TokenCache.Entry) async -> TokenCheck {
        let age = clock.wall - entry.checked
        guard age < 0 || age > Self.recent else { return .good }
        let answer = await broker.check(entry.held.token, scope: entry.held.scope, within: Self.longestCheck)
        if answer == .good { entry.markChecked(at: clock.wall) }
        return answer
    }

    private func keep(_ held: HeldToken, _ lock: TokenCache.Lock?) {
        guard let cache, let lock, held.mayBeKept else { return }
        do throws(CacheFailure) {
            try cache.keep(held, lock)
        } catch {
            note("the token is not kept: \(error.words)")
        }
    }

    // MARK: One at a time

    private enum Turn {
        /// Another process has meanwhile got a token.
        case renewed(HeldToken)
        /// Nil where there can be no lock, and nothing can be kept.
        case ours(TokenCache.Lock?)
        case over
    }

    private func turn(since start: Int64, until end: Duration, _ rejected: TokenText?) async -> Turn {
        guard let cache else { return .ours(nil) }
        while true {
            let locking = cache.lock()
            if case .busy = locking {
                guard clock.uptime < end else { return .over }
                await clock.wait(.milliseconds(10))
                continue
            }
            // Who had the lock before has left its token by now.
            if let held = kept()?.held, held.token != rejected, held.left(at: clock.wall) > .zero,
                held.left(at: clock.wall) >= minimumLife || held.received >= start
            {
                return .renewed(held)
            }
            switch locking {
            case .taken(let lock): return .ours(lock)
            case .impossible(let failure):
                note("the token is not kept: \(failure.words)")
                return .ours(nil)
            case .busy: continue
            }
        }
    }

    // MARK: A new one

    /// Comes again as long as the broker asks for it and there is time, with a fresh proof each time.
    private func exchange(until end: Duration) async throws(TokenFailure) -> HeldToken {
        while true {
            let proof = try await source.proof(within: end - clock.uptime)
            let asked = clock.wall
            let failure: TokenFailure
            do throws(TokenFailure) {
                let issued = try await broker.exchange(proof, within: end - clock.uptime)
                return HeldToken(issued, received: asked)
            } catch {
                failure = error
            }
            guard case .overloaded(_, let pause) = failure, clock.uptime + pause < end else { throw failure }
            await clock.wait(pause)
        }
    }

    /// What there is yet where no proof gets a new one: the kept token renewed by itself, or as it is.
    private func fallback(
        _ failure: TokenFailure, _ rejected: TokenText?, _ lock: TokenCache.Lock?, until end: Duration
    ) async throws(TokenFailure) -> HeldToken {
        guard let entry = kept(), entry.held.token != rejected, entry.held.left(at: clock.wall) > .zero else {
            if let rejected, let lock { cache?.discard(rejected, lock) }
            throw failure
        }
        let held = entry.held
        switch failure {
        case .unreachable, .overloaded, .unreadable, .unusable: break
        case .noIdentity, .refused:
            if let renewed = await renewed(held, within: max(end - clock.uptime, .seconds(1))) {
                keep(renewed, lock)
                return renewed
            }
            // Whoever is refused may have lost more than the next token.
            if await check(entry) == .bad {
                if let lock { cache?.discard(held.token, lock) }
                throw failure
            }
        }
        note(
            "the token is not renewed, and ends in \(held.left(at: clock.wall).components.seconds) s: \(failure.words)")
        return held
    }

    /// - Returns: nil where that gets no token that lasts longer.
    private func renewed(_ held: HeldToken, within time: Duration) async -> HeldToken? {
        let asked = clock.wall
        let issued = try? await broker.exchange(.gatewayToken(held.token), within: time)
        guard let renewed = issued.map({ HeldToken($0, received: asked) }), renewed.end > held.end else { return nil }
        return renewed
    }
}
