// Read first: how `daypass login` and `logout` go. Device authorization → a person approves → the refresh token is kept.
// `daypass token` goes on with `SignedInBroker`.

/// A developer's way in and out at one broker, on this machine.
package struct DeveloperSignIn: Sendable {
    private static let longest: Duration = .seconds(9)

    private let broker: TokenExchangeClient
    private let origin: String
    private let environment: [String: String]
    private let clock: any TokenClock
    package let store: SignInStore

    /// - Parameters:
    ///   - origin: as `BrokerAddress.origin(parsing:)` returns it.
    ///   - authorities: a PEM file; the system's where it is nil.
    package init(
        _ origin: String, authorities: String?, in environment: [String: String],
        clock: any TokenClock = SystemTokenClock()
    ) throws(TokenFailure) {
        guard let store = SignInStore(origin, in: environment) else {
            throw SignInStore.noPlace
        }
        (self.origin, self.environment, self.clock, self.store) = (origin, environment, clock, store)
        broker = TokenExchangeClient(origin, scope: nil, rule: nil, authorities: authorities, certificate: nil)
    }

    /// - Parameter device: how the broker's page names this machine.
    package func begin(device: String) async throws(TokenFailure) -> DeviceAuthorization {
        // Nobody is to approve what then cannot be kept.
        _ = try await store.lock(until: clock.uptime + Self.longest, clock)
        return try await broker.begin(device: device, within: Self.longest)
    }

    /// Waits for the approval and keeps what it gives, in the place of an earlier sign-in, whose session it ends.
    /// - Parameter note: is told where that session may last on.
    package func finish(
        _ asked: DeviceAuthorization, note: (String) -> Void
    ) async throws(TokenFailure) -> SavedSignIn {
        let granted = try await DeviceSignIn(broker, clock: clock).granted(asked)
        guard let refresh = granted.refresh else {
            throw .unreadable("\(origin) signs nobody in for longer than one token: it gives no refresh token")
        }
        let hadOne = store.isThere
        let (saved, earlier) = try await keep(refresh, granted.email)
        if hadOne, await !isEnded(earlier) {
            note("an earlier session on this machine could not be ended: end it at \(origin)/sessions")
        }
        return saved
    }

    private func isEnded(_ earlier: TokenText?) async -> Bool {
        guard let earlier else { return false }
        return (try? await broker.revoke(earlier, within: .seconds(3))) != nil
    }

    private func keep(
        _ refresh: TokenText, _ email: String?
    ) async throws(TokenFailure) -> (SavedSignIn, TokenText?) {
        let lock = try await store.lock(until: clock.uptime + Self.longest, clock)
        let before = try? store.saved()
        let earlier = before.flatMap { try? store.token(of: $0) }
        let saved = try store.keep(refresh, email: email, at: clock.wall, lock)
        if let before { forgetTokens(of: before) }
        return (saved, earlier)
    }

    /// How signing out went.
    package enum End: Sendable, Hashable {
        case ended(SavedSignIn)
        case nobody
        /// It is gone from here; the broker has not heard of it, and why.
        case goneFromHere(SavedSignIn?, TokenFailure)
    }

    /// Ends the session at the broker. Whatever happens there, nothing of it is left here.
    package func end() async throws(TokenFailure) -> End {
        guard store.isThere else { return .nobody }
        let lock = try await store.lock(until: clock.uptime + Self.longest, clock)
        guard store.isThere else { return .nobody }
        var saved: SavedSignIn?
        let outcome: End
        do throws(TokenFailure) {
            saved = try store.saved()
            guard let saved else { return .nobody }
            let token = try store.token(of: saved)
            try await broker.revoke(token, within: Self.longest)
            outcome = .ended(saved)
        } catch {
            outcome = .goneFromHere(saved, error)
        }
        try store.remove(saved, lock)
        if let saved { forgetTokens(of: saved) }
        return outcome
    }

    private func forgetTokens(of saved: SavedSignIn) {
        guard let place = CachePlace(in: environment) else { return }
        TokenCache.forget(SignedInBroker.line(of: saved.id), at: place)
    }
}
