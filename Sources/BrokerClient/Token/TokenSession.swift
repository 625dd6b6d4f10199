// Read first: how `daypass token` gets its token. Kept and checked → printed; else proof → exchange → kept.

/// Gateway tokens for one identity at one broker, from the cache while they last.
package struct TokenSession: Sendable {
    /// In all. Helpers are given up after ten seconds, and a check of half a second may follow.
    package static let longest: Duration = .seconds(9)
    /// Where there is a token yet that can be served; more where an answer has to be waited for.
    package static let longestRenewal: Duration = .seconds(4)
    package static let longestCheck: Duration = .milliseconds(500)

    private let source: any ProofSource
    private let broker: any TokenEndpoint
    private let cache: TokenCache?
    private let proof: Distinction.Proof
    private let minimumLife: Duration
    private let isFresh: Bool
    private let clock: any TokenClock
    private let note: @Sendable (String) -> Void

    /// - Parameters:
    ///   - cache: nil keeps nothing.
    ///   - proof: what a kept token has to have been exchanged for.
    ///   - minimumLife: what a token has to have left to be served from the cache.
    ///   - isFresh: whether a kept one is served only where no other can be got, and then only with that life.
    ///   - note: is told what a person should know, in one line.
    package init(
        _ source: any ProofSource, _ broker: any TokenEndpoint, _ cache: TokenCache?,
        proof: Distinction.Proof = .inKey, minimumLife: Duration, isFresh: Bool = false,
        clock: any TokenClock = SystemTokenClock(), note: @escaping @Sendable (String) -> Void
    ) {
        (self.source, self.broker, self.cache, self.proof) = (source, broker, cache, proof)
        (self.minimumLife, self.isFresh, self.clock, self.note) = (minimumLife, isFresh, clock, note)
    }

    /// A token that is good as far as anybody knows. Suspends for less than ten seconds.
    package func token() async throws(TokenFailure) -> HeldToken {
        let start = (wall: clock.wall, uptime: clock.uptime)
        var rejected: TokenText?
        let entry = kept(isNoted: true)
        if let entry, !isFresh, isOfProof(entry.held), entry.held.left(at: start.wall) >= minimumLife {
            guard await check(entry) == .bad else { return entry.held }
            rejected = entry.held.token
        }
        // What ends before the renewal is given up could not be served then.
        let renewal = min(max(Self.longestRenewal, broker.slowestAnswer + .milliseconds(2500)), Self.longest)
        let servable = entry.map { isServable($0.held, rejected, after: renewal) } ?? false
        let end = start.uptime + (servable ? renewal : Self.longest)
        let lock: TokenCache.Lock?
        switch await turn(since: start.wall, until: end, rejected) {
        case .renewed(let held): return held
        case .ours(let taken): lock = taken
        case .failed(let failure, let taken): return try await fallback(failure, rejected, taken, until: end)
        }
        do throws(TokenFailure) {
            let held = try await exchange(until: end)
            keep(held, lock)
            return held
        } catch {
            if let lock, error.isOfBroker { cache?.keep(error, at: clock.wall, lock) }
            return try await fallback(error, rejected, lock, until: end)
        }
    }

    /// Whether it was exchanged for what there is now; where there is nothing now, for what there was.
    private func isOfProof(_ held: HeldToken) -> Bool {
        if case .digest(let digest) = proof { held.proof == digest } else { true }
    }

    /// Whether it may be given out where no other is to be had.
    private func isServable(_ held: HeldToken, _ rejected: TokenText?, after time: Duration = .zero) -> Bool {
        held.token != rejected && held.left(at: clock.wall) > time
            && (!isFresh || held.left(at: clock.wall) >= minimumLife)
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
        let isTrusted = broker.trust > .zero && age >= 0 && .milliseconds(age) <= broker.trust
        guard !isTrusted else { return .good }
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
        /// Another process has meanwhile got none.
        case failed(TokenFailure, TokenCache.Lock)
        /// Nil where there can be no lock, and nothing can be kept.
        case ours(TokenCache.Lock?)
    }

    private func turn(since start: Int64, until end: Duration, _ rejected: TokenText?) async -> Turn {
        guard let cache else { return .ours(nil) }
        // Whoever was stopped while it had the lock must not stop everybody; whoever waits for a slow broker is waited for.
        let patience = end - (end - clock.uptime) / 6
        var hasWaited = false
        while true {
            let locking = cache.lock()
            if case .busy = locking {
                guard clock.uptime < patience else { return .ours(nil) }
                hasWaited = true
                await clock.wait(.milliseconds(10))
                continue
            }
            // Who had the lock before has left by now what it got.
            if let held = kept()?.held, held.token != rejected, isOfProof(held), held.left(at: clock.wall) > .zero,
                held.received >= start || (!isFresh && held.left(at: clock.wall) >= minimumLife)
            {
                return .renewed(held)
            }
            switch locking {
            case .taken(let lock):
                if hasWaited, let failure = cache.failure(since: start) { return .failed(failure, lock) }
                return .ours(lock)
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
            let failure: TokenFailure
            do throws(TokenFailure) {
                let shown = try await source.proof(within: end - clock.uptime)
                let asked = clock.wall
                let issued = try await broker.exchange(shown, within: end - clock.uptime)
                return HeldToken(issued, received: asked, proof: digest(of: shown))
            } catch {
                failure = error
            }
            guard case .overloaded(_, let pause) = failure, clock.uptime + pause + broker.slowestAnswer < end else {
                throw failure
            }
            await clock.wait(pause)
        }
    }

    /// What is noted of a proof that the key does not tell.
    private func digest(of shown: Proof) -> String {
        guard proof != .inKey, case .identityToken(let token) = shown else { return "" }
        return token.digest
    }

    /// What there is yet where no proof gets a new one: the kept token renewed by itself, or as it is.
    private func fallback(
        _ failure: TokenFailure, _ rejected: TokenText?, _ lock: TokenCache.Lock?, until end: Duration
    ) async throws(TokenFailure) -> HeldToken {
        guard let entry = kept(), isServable(entry.held, rejected) else {
            if let rejected, let lock { cache?.discard(rejected, lock) }
            throw failure
        }
        let held = entry.held
        switch failure {
        // Whoever was signed out is not to go on with what is left.
        case .signedOut:
            if let lock { cache?.discard(held.token, lock) }
            throw failure
        case .unreachable, .overloaded, .unreadable, .unusable: break
        case .noIdentity, .refused:
            // Somebody else was refused, by the same file.
            guard isOfProof(entry.held) else { throw failure }
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
        guard let renewed = issued.map({ HeldToken($0, received: asked, proof: held.proof) }), renewed.end > held.end
        else { return nil }
        return renewed
    }
}
